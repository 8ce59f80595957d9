//! Who has a port.

use std::fmt::Write;
use std::net::IpAddr;

use ferroce_wire::UDP_PORT;

/// The user of the socket that has port 4791 of `addr`, or of all addresses; `None` when the system does not tell,
/// as when the port is the kernel's own.
pub(super) fn of_port(addr: IpAddr) -> Option<u32> {
    let table = std::fs::read_to_string(match addr {
        IpAddr::V4(_) => "/proc/thread-self/net/udp",
        IpAddr::V6(_) => "/proc/thread-self/net/udp6",
    });
    find(&table.ok()?, addr)
}

fn find(table: &str, addr: IpAddr) -> Option<u32> {
    let ours = kernel_name(addr);
    let all = "0".repeat(ours.len());
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (local, port) = fields.nth(1)?.split_once(':')?;
        let is_it = (local == ours || local == all) && u16::from_str_radix(port, 16) == Ok(UDP_PORT);
        // After the local address: remote address, state, queues, timer, retransmissions.
        if is_it { fields.nth(5)?.parse().ok() } else { None }
    })
}

/// An address as it stands in the table: words of 32 bits in this machine's byte order.
fn kernel_name(addr: IpAddr) -> String {
    let octets = match addr {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    octets.as_chunks::<4>().0.iter().fold(String::new(), |mut name, word| {
        write!(name, "{:08X}", u32::from_ne_bytes(*word)).expect("a string takes everything");
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
  123: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 1 2 0 0
  124: 0100007F:12B7 00000000:0000 07 00000000:00000000 00:00000000 00000000 65534        0 1 2 0 0
";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_holder_is_found_by_address_and_port() {
        assert_eq!(find(TABLE, "127.0.0.1".parse().unwrap()), Some(65534));
        assert_eq!(find(TABLE, "127.0.0.2".parse().unwrap()), None);
        assert_eq!(find("nonsense", "127.0.0.1".parse().unwrap()), None);
        assert_eq!(kernel_name("::1".parse().unwrap()), "00000000000000000000000001000000");
    }
}
