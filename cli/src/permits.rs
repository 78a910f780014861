//! Pools whose number of permits is known at run time only, though it is part of their type.

/// Calls `$run::<N> $args` for an `N` that is 1 to 64, or a multiple of 8 up to 256; `$else` for any other.
macro_rules! for_permits {
    ($n:expr, $run:ident $args:tt, $else:expr) => {
        $crate::permits::for_permits!(@ $n, $run $args, $else,
            1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39
            40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64 72 80 88 96 104 112 120 128 136
            144 152 160 168 176 184 192 200 208 216 224 232 240 248 256)
    };
    (@ $n:expr, $run:ident $args:tt, $else:expr, $($size:literal)+) => {
        match $n {
            $($size => $run::<$size> $args,)+
            _ => $else,
        }
    };
}
pub(crate) use for_permits;
