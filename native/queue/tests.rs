//! What a queue keeps and drops.

use super::*;

const PING: &[u8] = b"\x89\0";
const BEGUN: &[u8] = b"\x81\x05begun";
const GONE: &[u8] = b"\x82\x04gone";
const FRAGMENT: &[u8] = b"\x01\x01f";

fn rest(queue: &Queue, log: &[u8]) -> Vec<u8> {
    let parts = queue.segments.iter().flat_map(|segment| segment.parts(log));
    parts.chain([&log[queue.span.clone()]]).collect::<Vec<_>>().concat()
}

#[test]
fn dropping_keeps_what_has_begun_to_leave_whatever_left_before() {
    let log = [PING, FRAGMENT, GONE, BEGUN, GONE, PING, FRAGMENT, GONE].concat();
    let left = PING.len() + FRAGMENT.len() + GONE.len();
    for begun in 1..BEGUN.len() {
        let mut in_log = Queue::default();
        in_log.put_log(0..log.len());
        let mut own = Queue::default();
        own.write(log.len(), |target| target.extend_from_slice(&log));
        for mut queue in [in_log, own] {
            queue.advance(left + begun);
            assert_eq!(queue.drop_messages(&log, usize::MAX), (2 * GONE.len(), 2));
            assert_eq!(rest(&queue, &log), [&BEGUN[begun..], PING, FRAGMENT].concat());
            assert_eq!(queue.size, BEGUN.len() - begun + PING.len() + FRAGMENT.len());
            assert_eq!(queue.drop_messages(&log, usize::MAX), (0, 0));
        }
    }
}

#[test]
fn what_is_fixed_is_never_dropped() {
    let mut queue = Queue::default();
    queue.write(GONE.len(), |target| target.extend_from_slice(GONE));
    queue.fix();
    queue.write(GONE.len(), |target| target.extend_from_slice(GONE));
    queue.hold(vec![0x82, 126, 1, 0], Box::new([0; 256]));
    assert_eq!(queue.drop_messages(&[], usize::MAX), (GONE.len() + 260, 2));
    assert_eq!(rest(&queue, &[]), GONE);
}

#[test]
fn what_is_settled_leaves_unchanged_without_its_log() {
    for size in [1, 100, 511, 512, 5000] {
        let log: Vec<u8> = (0..10_000u32).map(|index| index as u8).collect();
        let mut queue = Queue::default();
        queue.put_log(0..size);
        queue.put_log(size + 1..2 * size);
        queue.advance(size / 2);
        let before = rest(&queue, &log);
        queue.settle(&log, &mut Copies::new());
        assert_eq!(rest(&queue, &[]), before, "{size}");
    }
}

// What the buffers of a queue take.
fn memory(queue: &Queue) -> usize {
    let sizes = queue.segments.iter().map(|segment| match &segment.data {
        Data::Log => 0,
        Data::Bytes(bytes) => bytes.capacity(),
        Data::Held { header, payload } => header.len() + (**payload).as_ref().len(),
    });
    sizes.sum()
}

#[test]
fn a_part_of_the_log_keeps_no_more_than_itself_and_those_with_the_same_part_share_it() {
    let log = vec![0; 1 << 20];
    let mut copies = Copies::new();
    let mut queues = [(); 3].map(|()| Queue::default());
    for (queue, span) in queues.iter_mut().zip([0..200_000, 0..200_000, 200_000..300_000]) {
        queue.put_log(span.clone());
        queue.settle(&log, &mut copies);
        assert_eq!(memory(queue), span.len());
    }
    let [Data::Bytes(one), Data::Bytes(same)] = [0, 1].map(|at| &queues[at].segments[0].data) else { panic!() };
    assert!(Rc::ptr_eq(one, same));
}

#[test]
fn what_has_been_sent_keeps_no_memory() {
    let log = [[GONE; 3000].concat(), BEGUN.to_vec(), [GONE, PING].concat().repeat(1000)].concat();
    let shared = Rc::new(log.clone());
    for begun in [0, 1, BEGUN.len() - 1] {
        let [mut own, mut other, mut raw, mut held] = [(); 4].map(|()| Queue::default());
        own.write(log.len(), |target| target.extend_from_slice(&log));
        other.share(&shared);
        raw.write(log.len(), |target| target.extend_from_slice(&log));
        raw.fix();
        held.hold(vec![0x82, 126, 0, 0], Box::new(log[4..].to_vec()));
        let sent = 3000 * GONE.len() + begun;
        for (queue, has_frames) in [(&mut own, true), (&mut other, true), (&mut raw, false), (&mut held, false)] {
            queue.advance(sent);
            let before = if has_frames { rest(queue, &[]) } else { Vec::new() };
            queue.trim();
            assert!(memory(queue) <= 2 * queue.size, "{} for {}", memory(queue), queue.size);
            if has_frames {
                assert_eq!(rest(queue, &[]), before);
                // The begun frame stays, as do the control frames.
                let dropped = queue.drop_messages(&[], usize::MAX);
                let begun_too = if begun == 0 { (BEGUN.len(), 1) } else { (0, 0) };
                assert_eq!(dropped, (1000 * GONE.len() + begun_too.0, 1000 + begun_too.1));
            } else {
                assert_eq!(queue.drop_messages(&[], usize::MAX), (0, 0));
            }
        }
    }
}
