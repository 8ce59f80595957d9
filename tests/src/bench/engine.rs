//! Two engines back to back: what the protocol costs without a network.

use std::time::Instant;

use ferroce_instructions::{BATCH, Pair, Request};

use super::Report;

/// Cost of a packet at both ends together, beside the copying that it cannot do without.
pub fn run(report: &mut Report) {
    let mut pair = Pair::new(true);
    let (source, mut copy) = (vec![1u8; 4096], vec![0u8; 4096]);
    for (len, messages) in [(8, 200_000), (1 << 20, 64)] {
        let payload = len.min(4096) as usize;
        report.figure(
            &format!("WRITEs of {len} bytes, both engines"),
            "ns per packet",
            "copying its payload three times",
            || {
                let start = Instant::now();
                let packets = pair.play(Request::Write, len, messages / BATCH);
                start.elapsed().as_nanos() as f64 / packets as f64
            },
            || {
                super::nanos_per(20_000, || {
                    for _ in 0..3 {
                        std::hint::black_box(&mut copy[..payload])
                            .copy_from_slice(std::hint::black_box(&source[..payload]));
                    }
                })
            },
        );
    }
}
