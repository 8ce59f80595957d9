//! Guessing: PSNs and keys (Rothenberger et al., "ReDMArk", USENIX Security 2021).

use std::net::Ipv4Addr;

use ferroce_engine::{Access, Buffer, Device, DeviceConfig, MrInit, NoTrace, Personality};

use super::Claim;

/// Packets per second that the paper's attacker sends.
const SPOOFED: f64 = 1.3e6;

pub(super) fn keys_and_psns() -> Vec<Claim> {
    let seconds = (1u32 << 24) as f64 / SPOOFED;
    let (predictable, random) = (steps(Personality::predictable()), steps(Personality::ferroce()));
    vec![
        Claim {
            source: "ReDMArk 2021",
            what: "time to try all PSNs at 1.3 million packets a second".to_owned(),
            says: "13 s".to_owned(),
            gives: format!("{seconds:.1} s"),
            tolerance: "rounding",
            holds: (seconds - 13.0).abs() < 0.2,
        },
        Claim {
            source: "ReDMArk 2021",
            what: "steps from one R_Key to the next".to_owned(),
            says: "constant for the drivers of several NICs".to_owned(),
            gives: format!("predictable: {predictable} different; default: {random} different of 63"),
            tolerance: "one for the personality that imitates them, nearly all different for the default",
            holds: predictable == 1 && random > 60,
        },
    ]
}

/// How many different steps there are between 64 keys.
fn steps(personality: Personality) -> usize {
    let address = Ipv4Addr::new(192, 0, 2, 1).into();
    let config = DeviceConfig { personality, ..DeviceConfig::new("ferroce0", [address]) };
    let mut device = Device::new(config, 7, NoTrace);
    let pd = device.alloc_pd().expect("a new device has room");
    let buffer = Buffer::new(4096);
    let mut key =
        || device.reg_mr(pd, MrInit::new(&buffer, Access::REMOTE_READ)).expect("there is room").rkey;
    let keys: Vec<u32> = (0..64).map(|_| key()).collect();
    let mut steps: Vec<u32> = keys.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    steps.sort_unstable();
    steps.dedup();
    steps.len()
}
