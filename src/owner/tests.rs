//! The token, bit by bit. What it says of the dead is tested from outside.

use super::*;

#[test]
fn a_threads_token_is_stable_but_for_the_cpu_and_differs_from_anothers() {
    let mine = Token::mine();
    assert!(mine.same_thread(Token::mine()));
    assert!(!mine.is_free() && !mine.has_waiters() && !mine.is_marked_dead());
    assert_eq!(mine.tid(), sys::thread::tid());
    let theirs = std::thread::spawn(Token::mine).join().unwrap();
    assert!(!mine.same_thread(theirs));
}

#[test]
fn flags_and_cpu_do_not_change_the_owner() {
    let mine = Token::mine();
    let marked = Token((mine.with_waiters().marked_dead().0 & !CPU_MASK) | 7 << CPU_SHIFT);
    assert!(marked.same_thread(mine));
    assert_eq!(marked.owner(), mine.owner());
    assert_eq!(marked.cpu(), Cpu(7));
    assert_eq!(marked.boot(), mine.boot());
}

#[test]
fn only_known_boots_can_differ() {
    let mine = Token::mine();
    let of_boot = |boot| Token(mine.0 & !(BOOT << BOOT_SHIFT) | boot << BOOT_SHIFT);
    for boot in 1..=BOOT {
        assert_eq!(of_boot(boot).is_of_another_boot(mine), boot != mine.boot());
        assert!(!of_boot(boot).is_of_another_boot(of_boot(0)) && !of_boot(0).is_of_another_boot(of_boot(boot)));
    }
    assert!(mine.boot() != 0 && !Token::NOBODY.is_of_another_boot(mine));
    assert!((1..=BOOT).contains(&fold_boot([0; 16])) && (1..=BOOT).contains(&fold_boot([0xff; 16])));
}

#[test]
fn a_cpu_is_the_same_six_bits_in_a_token_and_beside_one() {
    let cell = AtomicU32::new(0);
    let me = Me { id: Cell::new(0), cpu: Cell::new(&raw const cell) };
    for (cpu, bits) in [(0, 1), (62, 63), (63, 0), (64, 1), (200, 9), (u32::MAX, 0)] {
        cell.store(cpu, Ordering::Relaxed);
        assert_eq!(me.cpu(), Cpu(bits));
        assert_eq!(Token(u64::from(me.cpu().0) << CPU_SHIFT).cpu(), me.cpu());
    }
}

#[test]
fn nobody_is_held_but_has_no_name() {
    assert!(!Token::NOBODY.is_free());
    assert_eq!(Token::NOBODY.owner(), None);
    let mine = Token::mine();
    let disowned = mine.with_waiters().disowned();
    assert!(disowned.owner().is_none() && disowned.has_waiters() && disowned.boot() == mine.boot());
    assert_eq!(disowned.dead_owner().to_string(), "nobody in particular");
}

#[test]
fn whose_id_the_kernel_took_is_dead() {
    let marked = Token(Token::mine().marked_dead().0 & !TID_MASK);
    assert!(!marked.is_free() && !marked.dead_owner().is_alive());
    assert_eq!(marked.dead_owner().to_string(), "a thread of unknown id");
    assert_eq!(Token::FREE.owner(), None);
}

#[test]
fn neighbouring_namespaces_never_fold_together() {
    let host = 0xefff_fffc;
    for step in 1..4095 {
        assert_ne!(fold_namespace((host, 0)), fold_namespace((host + step, 0)));
    }
    assert_ne!(fold_namespace((0, 0)), 0);
}

#[test]
fn flags_are_set_and_not_flipped() {
    let mine = Token::mine();
    let (waited, dead) = (mine.with_waiters(), mine.marked_dead());
    assert!(waited.has_waiters() && waited.with_waiters() == waited && waited.with_waiters_of(waited) == waited);
    assert!(dead.is_marked_dead() && dead.marked_dead() == dead && !dead.is_free());
    assert!(mine.with_waiters_of(waited) == waited && mine.with_waiters_of(mine) == mine);
    assert!(waited.marked_dead() == dead.with_waiters());
}

#[test]
fn what_the_kernel_leaves_is_one_holders_only() {
    let mine = Token::mine();
    let without_id = |token: Token| Token(token.marked_dead().0 & !(TID_MASK | CPU_MASK));
    assert!(without_id(mine).is_without_id_of(mine) && without_id(mine.with_waiters()).is_without_id_of(mine));
    assert!(!mine.is_without_id_of(mine), "it has its id");
    for bit in CPU_SHIFT + 6..64 {
        assert!(!without_id(Token(mine.0 ^ 1 << bit)).is_without_id_of(mine), "the stamp is another in bit {bit}");
    }
}

#[test]
fn an_id_counts_in_one_namespace_and_one_boot() {
    let token = |namespace: u64, boot: u64| Token(namespace << NAMESPACE_SHIFT | boot << BOOT_SHIFT | 4711);
    let mine = token(0xabc, 5);
    assert_eq!((mine.namespace(), mine.boot()), (0xabc, 5));
    assert!(mine.counts_as(mine) && mine.counts_as(token(0xabc, 0)) && token(0xabc, 0).counts_as(mine));
    assert!(!mine.counts_as(token(0xabc, 6)) && !mine.counts_as(token(0xabd, 5)));
    assert!(!token(0, 5).counts_as(token(0, 5)), "where it is unknown, nothing counts");
    let mine = Token::mine();
    assert_eq!(mine.dead_owner().is_of_this_namespace(), mine.namespace() != 0);
    assert!(!Token(mine.0 ^ 1 << NAMESPACE_SHIFT).dead_owner().is_of_this_namespace());
}

#[test]
fn a_token_says_where_its_thread_runs() {
    // It may be moved between the two.
    assert!((0..1000).any(|_| Token::mine().cpu() == Cpu::mine()));
    assert!(!Cpu::UNKNOWN.is_known() && Cpu(1).is_known());
}
