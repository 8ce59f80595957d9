//! Static rates.

use std::ffi::{c_int, c_uint};

use crate::border::export;

/// A value of `enum ibv_rate`.
struct Rate {
    code: c_uint,
    mbps: c_int,
    /// In units of 2.5 Gb/s, for those that libibverbs counts so; else 0.
    mult: c_int,
}

const RATES: [Rate; 23] = {
    const fn rate(code: c_uint, mbps: c_int, mult: c_int) -> Rate {
        Rate { code, mbps, mult }
    }
    [
        rate(2, 2_500, 1),
        rate(5, 5_000, 2),
        rate(3, 10_000, 4),
        rate(6, 20_000, 8),
        rate(4, 30_000, 12),
        rate(7, 40_000, 16),
        rate(8, 60_000, 24),
        rate(9, 80_000, 32),
        rate(10, 120_000, 48),
        rate(11, 14_062, 0),
        rate(12, 56_250, 0),
        rate(13, 112_500, 0),
        rate(14, 168_750, 0),
        rate(15, 25_781, 0),
        rate(16, 103_125, 0),
        rate(17, 206_250, 0),
        rate(18, 309_375, 0),
        rate(19, 28_125, 11),
        rate(20, 53_125, 20),
        rate(21, 425_000, 160),
        rate(22, 637_500, 240),
        rate(23, 850_000, 320),
        rate(24, 1_275_000, 480),
    ]
};

fn find(is_it: impl Fn(&Rate) -> bool) -> Option<&'static Rate> {
    RATES.iter().find(|rate| is_it(rate))
}

export! {
    "IBVERBS_1.0" fn ibv_rate_to_mult(code: c_uint) -> c_int {
        find(|rate| rate.code == code && rate.mult > 0).map_or(-1, |rate| rate.mult)
    }

    "IBVERBS_1.0" fn mult_to_ibv_rate(mult: c_int) -> c_uint {
        find(|rate| mult > 0 && rate.mult == mult).map_or(0, |rate| rate.code)
    }

    "IBVERBS_1.1" fn ibv_rate_to_mbps(code: c_uint) -> c_int {
        find(|rate| rate.code == code).map_or(-1, |rate| rate.mbps)
    }

    "IBVERBS_1.1" fn mbps_to_ibv_rate(mbps: c_int) -> c_uint {
        find(|rate| rate.mbps == mbps).map_or(0, |rate| rate.code)
    }
}
