//! The queue of a connection, against a plain list of messages.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::net::{recv, socketpair, AddressFamily, RecvFlags, SocketFlags, SocketType};

use crate::choices::Choices;
use crate::frame::{is_needed, write_header};
use crate::queue::Queue;
use crate::segment::Copies;

thread_local! {
    // What a queue offers is seen at the other end.
    static SOCKETS: RefCell<Option<(OwnedFd, OwnedFd)>> = const { RefCell::new(None) };
}

// A frame, how much of it has been sent, and whether it must stay.
struct Entry {
    bytes: Vec<u8>,
    sent: usize,
    is_fixed: bool,
}

#[derive(Default)]
struct Model(Vec<Entry>);

impl Model {
    fn size(&self) -> usize {
        self.0.iter().map(|entry| entry.bytes.len() - entry.sent).sum()
    }

    fn put(&mut self, bytes: Vec<u8>) {
        self.0.push(Entry { bytes, sent: 0, is_fixed: false });
    }

    fn advance(&mut self, mut count: usize) {
        for entry in &mut self.0 {
            let taken = count.min(entry.bytes.len() - entry.sent);
            entry.sent += taken;
            count -= taken;
        }
        self.0.retain(|entry| entry.sent < entry.bytes.len());
    }

    fn drop_messages(&mut self, enough: usize) -> (usize, usize) {
        let mut dropped = 0;
        let before = self.0.len();
        self.0.retain(|entry| {
            let may_go = entry.sent == 0 && !entry.is_fixed && !is_needed(&entry.bytes) && dropped < enough;
            dropped += if may_go { entry.bytes.len() } else { 0 };
            !may_go
        });
        (dropped, before - self.0.len())
    }
}

fn make_frame(choices: &mut Choices<'_>, number: u8) -> Vec<u8> {
    let first = [0x81, 0x82, 0xc2, 0x01, 0x80, 0x89, 0x8a][choices.one_of(7)];
    let most = [2, 100, 125, 126, 600, 5000, 66_000][choices.one_of(7)];
    let length = usize::from(choices.byte()) * most / 255;
    let length = if first & 15 > 7 { length.min(125) } else { length };
    let mut frame = Vec::new();
    write_header(&mut frame, first, length, (number % 2 == 1).then_some([number; 4]));
    frame.resize(frame.len() + length, number);
    frame
}

// Offers the queue to a socket, and checks what arrives. Returns how much that was.
fn offer(queue: &Queue, log: &[u8], model: &Model) -> usize {
    SOCKETS.with_borrow_mut(|sockets| {
        let make = || socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None).unwrap();
        let (ours, theirs) = sockets.get_or_insert_with(make);
        let sent = queue.offer(ours, log).unwrap();
        assert!(sent <= model.size() && sent > 0);
        let mut came = vec![0; sent];
        let mut have = 0;
        while have < sent {
            have += recv(&*theirs, &mut came[have..], RecvFlags::empty()).unwrap().0;
        }
        let expected = model.0.iter().flat_map(|entry| &entry.bytes[entry.sent..]).take(sent);
        assert!(came.iter().eq(expected), "other bytes than were queued");
        sent
    })
}

/// Takes: what is done with the queue, step by step.
pub fn run(data: &[u8]) {
    let mut choices = Choices(data);
    let mut queue = Queue::default();
    let mut model = Model::default();
    let mut log = Vec::new();
    for number in 0..60 {
        if choices.0.is_empty() {
            break;
        }
        match choices.one_of(9) {
            0 | 1 => {
                let frame = make_frame(&mut choices, number);
                let from = log.len();
                log.extend_from_slice(&frame);
                queue.put_log(from..log.len());
                model.put(frame);
            }
            2 => {
                let frame = make_frame(&mut choices, number);
                queue.write(frame.len(), |target| target.extend_from_slice(&frame));
                model.put(frame);
            }
            3 => {
                let frame = make_frame(&mut choices, number);
                queue.share(&Rc::new(frame.clone()));
                model.put(frame);
            }
            4 => {
                let frame = make_frame(&mut choices, number);
                let header_bytes = frame.len().min(usize::from(choices.byte()) % 4 + 2);
                queue.hold(frame[..header_bytes].to_vec(), Box::new(frame[header_bytes..].to_vec()));
                model.put(frame);
            }
            5 => {
                let count = (usize::from(choices.byte()) * 3).min(model.size());
                queue.advance(count);
                model.advance(count);
            }
            6 => {
                // The turn ends: its log is given away and a new one begins.
                queue.settle(&std::mem::take(&mut log), &mut Copies::new());
            }
            7 => {
                let enough = usize::from(choices.byte()) * 40;
                assert_eq!(queue.drop_messages(&log, enough), model.drop_messages(enough));
            }
            _ if choices.one_of(4) == 0 => {
                queue.fix();
                model.0.iter_mut().for_each(|entry| entry.is_fixed = true);
            }
            _ => {}
        }
        assert_eq!(queue.size, model.size());
        if queue.size == 0 {
            log.clear();
        }
    }
    while queue.size > 0 {
        let sent = offer(&queue, &log, &model);
        queue.advance(sent);
        model.advance(sent);
        assert_eq!(queue.size, model.size());
    }
}
