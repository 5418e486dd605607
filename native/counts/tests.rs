use super::{Traffic, Turns};

#[test]
fn counts_whole_messages_and_nothing_else() {
    let mut traffic = Traffic::default();
    // Text, binary, a text's first fragment, a continuation, the last one; close, ping, pong.
    for first in [0x81, 0x82, 0x01, 0x00, 0x80, 0x88, 0x89, 0x8a] {
        traffic.count(first);
    }
    assert_eq!(traffic.messages, 3);
}

#[test]
fn counts_a_turn_once_it_has_ended() {
    let mut turns = Turns { bounds: vec![0, u64::MAX], counts: vec![0; 3], ..Turns::default() };
    // Nothing has begun.
    turns.mark();
    turns.settle();
    turns.begin();
    // Nothing has ended.
    turns.settle();
    assert_eq!(turns.counts, [0, 0, 0]);
    turns.begin();
    turns.mark();
    turns.mark();
    turns.begin_unless_begun();
    turns.begin_unless_begun();
    turns.mark();
    turns.settle();
    turns.settle();
    assert_eq!(turns.counts.iter().sum::<u64>(), 2);
    assert_eq!(turns.counts[2], 0);
    assert!(turns.sum > 0);
}

#[test]
fn counts_past_the_last_bound_and_without_bounds() {
    let mut turns = Turns { bounds: vec![0], counts: vec![0; 2], ..Turns::default() };
    turns.begin();
    std::hint::black_box(vec![0_u8; 1 << 20]);
    turns.mark();
    turns.settle();
    assert_eq!(turns.counts, [0, 1]);
    let mut bare = Turns::default();
    bare.begin();
    bare.mark();
    bare.settle();
    assert!(bare.counts.is_empty());
}
