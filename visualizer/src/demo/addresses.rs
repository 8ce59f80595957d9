//! Two addresses of this machine that nobody uses.

use std::net::{IpAddr, Ipv4Addr};

use ferroce_net::NetError;

use super::pattern::Dice;

/// Pairs that are tried. Few others use these addresses, and all of 127.0.0.0/8 is there to choose from.
const TRIES: u32 = 64;

/// Opens something at two loopback addresses, others if these are in use.
pub(super) fn on_free_addresses<T>(
    mut open: impl FnMut([IpAddr; 2]) -> Result<T, NetError>,
) -> Result<T, NetError> {
    // Where to begin looking, so that several demos at a time seldom meet.
    let mut dice = Dice::new(u64::from(std::process::id()), 0x61646472);
    for _ in 1..TRIES {
        match open(pair(&mut dice)) {
            // Soft-RoCE takes the port on all addresses; there is no other place to go.
            Err(NetError::PortInUse { rxe: false, .. }) => {}
            other => return other,
        }
    }
    open(pair(&mut dice))
}

fn pair(dice: &mut Dice) -> [IpAddr; 2] {
    let [.., b, c] = dice.next().to_be_bytes();
    [1, 2].map(|host| Ipv4Addr::new(127, b.max(1), c, host).into())
}
