//! Loss of RoCE packets at a guest's network card.
//!
//! Only UDP to port 4791 is lost, so that the side channel of a test program stays fast. It works in both directions,
//! so that a host without netem can be at the other end.

use anyhow::Result;

use super::guest::Guest;

const FAMILIES: [&str; 2] = ["ip", "ipv6"];
const ROCE: &str = "ip_proto udp dst_port 4791";

/// Which packets are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Those that the guest sends.
    Sent,
    /// Those that it would receive.
    Received,
}

/// Loses packets until it is dropped.
#[derive(Debug)]
pub struct Loss<'a> {
    guest: &'a Guest,
}

impl<'a> Loss<'a> {
    /// Loses one of every `one_in` RoCE packets, chosen at random.
    ///
    /// # Errors
    /// When the guest does not answer or has loss already.
    pub fn start(guest: &'a Guest, direction: Direction, one_in: u32) -> Result<Self> {
        let commands = match direction {
            Direction::Sent => lose_sent(one_in),
            Direction::Received => lose_received(one_in),
        };
        guest.check(&commands.join(" && "))?;
        Ok(Self { guest })
    }
}

impl Drop for Loss<'_> {
    fn drop(&mut self) {
        // A guest that does not answer any more loses nothing either.
        self.guest.check("tc qdisc del dev eth0 root; tc qdisc del dev eth0 clsact; true").ok();
    }
}

/// A class of its own with netem in it: the sender must not learn of the loss, and an egress filter would tell it
/// (Linux 6.12's soft-RoCE then kills the queue pair).
fn lose_sent(one_in: u32) -> Vec<String> {
    let everything_first = "0 ".repeat(16);
    let mut commands = vec![
        format!("tc qdisc add dev eth0 root handle 1: prio bands 3 priomap {everything_first}"),
        format!("tc qdisc add dev eth0 parent 1:3 netem limit 10000 loss {}%", 100.0 / f64::from(one_in)),
    ];
    commands.extend(FAMILIES.map(|family| {
        format!("tc filter add dev eth0 parent 1: protocol {family} flower {ROCE} classid 1:3")
    }));
    commands
}

fn lose_received(one_in: u32) -> Vec<String> {
    let mut commands = vec!["tc qdisc add dev eth0 clsact".to_owned()];
    commands.extend(FAMILIES.map(|family| {
        format!(
            "tc filter add dev eth0 ingress protocol {family} flower {ROCE} \
             action gact pass random netrand drop {one_in}"
        )
    }));
    commands
}
