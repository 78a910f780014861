//! The heap of a region has no list of what is free: the directory says what is taken, and the rest is free.
//!
//! So there is nothing that a killed process could leave torn, nothing to repair, and nothing leaks: bytes are taken from
//! the moment at which an entry says so, and free from the moment at which none does. It costs a look through the directory
//! for each allocation.

use std::ops::Range;

/// Objects begin at multiples of that, and take up multiples of that: a cache line to each.
pub(super) const UNIT: usize = 64;

/// The part of a heap that an object takes up which its entry says begins at `offset` and has `size` bytes. Entries may say
/// anything: what is not in the heap takes up nothing.
pub(super) fn taken(heap: &Range<usize>, offset: u64, size: u64) -> Range<usize> {
    let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).clamp(heap.start, heap.end);
    let end = offset.saturating_add(size.max(1)).checked_next_multiple_of(UNIT as u64).unwrap_or(u64::MAX);
    clamp(offset)..clamp(end)
}

/// The first place in the heap for `size` bytes beside all that is taken, in whatever order.
pub(super) fn find(heap: &Range<usize>, taken: &mut [Range<usize>], size: usize, align: usize) -> Option<usize> {
    taken.sort_unstable_by_key(|taken| taken.start);
    let behind = Range { start: heap.end, end: heap.end };
    let mut free = heap.start;
    for next in taken.iter().chain([&behind]) {
        let begin = free.checked_next_multiple_of(align.max(UNIT))?;
        let end = begin.checked_add(size.max(1))?;
        if end <= next.start && end <= heap.end {
            return Some(begin);
        }
        free = free.max(next.end);
    }
    None
}

/// How many bytes of the heap are not taken.
pub(super) fn free(heap: &Range<usize>, taken: &mut [Range<usize>]) -> usize {
    taken.sort_unstable_by_key(|taken| taken.start);
    let (mut free, mut at) = (0, heap.start);
    for next in taken.iter() {
        free += next.start.saturating_sub(at);
        at = at.max(next.end);
    }
    free + heap.end.saturating_sub(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAP: Range<usize> = 1024..4096;

    #[test]
    fn objects_are_put_where_there_is_room() {
        assert_eq!(find(&HEAP, &mut [], 3072, 64), Some(1024));
        assert_eq!(find(&HEAP, &mut [], 3073, 64), None);
        assert_eq!(find(&HEAP, &mut [], 8, 4096), None);
        assert_eq!(find(&HEAP, &mut [], 8, 2048), Some(2048));
        assert_eq!(find(&HEAP, &mut [], 0, 1), Some(1024));
        assert_eq!(find(&HEAP, &mut [1024..2048, 2048..4096], 0, 1), None);
        let mut taken = [3072..4096, 1024..1088, 1152..2048];
        assert_eq!(find(&HEAP, &mut taken, 64, 8), Some(1088));
        assert_eq!(find(&HEAP, &mut taken, 65, 8), Some(2048));
        assert_eq!(find(&HEAP, &mut taken, 1025, 8), None);
        assert_eq!(free(&HEAP, &mut taken), 64 + 1024);
        assert_eq!(find(&HEAP, &mut [], usize::MAX, 8), None);
    }

    #[test]
    fn whatever_entries_say_takes_up_part_of_the_heap_at_most() {
        assert_eq!(taken(&HEAP, 1024, 8), 1024..1088);
        assert_eq!(taken(&HEAP, 1024, 0), 1024..1088);
        assert_eq!(taken(&HEAP, 0, 1025), 1024..1088);
        assert_eq!(taken(&HEAP, u64::MAX, u64::MAX), 4096..4096);
        assert_eq!(taken(&HEAP, 0, u64::MAX), 1024..4096);
    }

    /// Against a map of units, with objects that overlap as scribbled ones might.
    #[test]
    fn nothing_is_put_where_something_is() {
        let mut dice = fastrand_like(1);
        for _ in 0..2000 {
            let mut ranges: Vec<_> = (0..dice(6)).map(|_| taken(&HEAP, dice(4200) & !63, dice(900))).collect();
            let (size, align) = (dice(1200) as usize, 1 << dice(9));
            let mut is_taken = [false; 4096];
            for range in &ranges {
                is_taken[range.clone()].fill(true);
            }
            let fits = |at: usize| at + size.max(1) <= HEAP.end && !is_taken[at..at + size.max(1)].contains(&true);
            let expected = HEAP.step_by(64).filter(|at| at % align == 0).find(|&at| fits(at));
            assert_eq!(find(&HEAP, &mut ranges, size, align), expected, "{ranges:?} {size} {align}");
            assert_eq!(free(&HEAP, &mut ranges), is_taken[HEAP].iter().filter(|&&taken| !taken).count());
        }
    }

    /// Numbers below n (xorshift).
    fn fastrand_like(mut seed: u64) -> impl FnMut(u64) -> u64 {
        move |n| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 11) % n
        }
    }
}
