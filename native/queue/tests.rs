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
        own.write(|target| target.extend_from_slice(&log));
        for mut queue in [in_log, own] {
            queue.advance(left + begun);
            assert_eq!(queue.drop_messages(&log, usize::MAX), 2 * GONE.len());
            assert_eq!(rest(&queue, &log), [&BEGUN[begun..], PING, FRAGMENT].concat());
            assert_eq!(queue.size, BEGUN.len() - begun + PING.len() + FRAGMENT.len());
            assert_eq!(queue.drop_messages(&log, usize::MAX), 0);
        }
    }
}

#[test]
fn what_is_fixed_is_never_dropped() {
    let mut queue = Queue::default();
    queue.write(|target| target.extend_from_slice(GONE));
    queue.fix();
    queue.write(|target| target.extend_from_slice(GONE));
    queue.hold(vec![0x82, 126, 1, 0], Box::new([0; 256]));
    assert_eq!(queue.drop_messages(&[], usize::MAX), GONE.len() + 260);
    assert_eq!(rest(&queue, &[]), GONE);
}

#[test]
fn what_is_settled_leaves_unchanged_without_its_log() {
    for size in [1, 100, 511, 512, 5000] {
        let log = Rc::new((0..10_000u32).map(|index| index as u8).collect::<Vec<_>>());
        let mut queue = Queue::default();
        queue.put_log(0..size);
        queue.put_log(size + 1..2 * size);
        queue.advance(size / 2);
        let before = rest(&queue, &log);
        queue.settle(&log);
        assert_eq!(rest(&queue, &[]), before, "{size}");
    }
}
