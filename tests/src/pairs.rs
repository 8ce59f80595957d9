//! Who plays with whom in an interop run.

use std::fmt;

use anyhow::Result;
use ferroce_net::Nic;

use crate::peer::{FerrocePeer, Peer, RemotePeer};
use crate::results::Role;
use crate::scenarios::{Bulk, Scenario};
use crate::tally::Verdict;
use crate::vm::{Direction, HOST_IPV4, HOST_IPV6, Kernel, Loss, STATION, World};

/// One packet of this many is lost: five percent.
const ONE_IN: u32 = 20;

/// What can be on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Player {
    /// Soft-RoCE in a guest.
    Rxe(Kernel),
    /// Ferroce on the host, at its test addresses.
    Ferroce,
    /// Ferroce as a machine of its own on the bridge.
    Station,
}

impl Player {
    /// A fresh peer.
    ///
    /// # Errors
    /// When the guest does not answer or the NIC cannot be opened.
    pub fn open(self, world: &World) -> Result<Box<dyn Peer>> {
        Ok(match self {
            Self::Rxe(kernel) => Box::new(RemotePeer::open(world.guest(kernel))?),
            Self::Ferroce => Box::new(FerrocePeer::open(Nic::builder(), HOST_IPV4, HOST_IPV6)?),
            Self::Station => Box::new(FerrocePeer::attached(Nic::builder(), STATION.parse()?)?),
        })
    }

    fn guest(self) -> Option<Kernel> {
        match self {
            Self::Rxe(kernel) => Some(kernel),
            Self::Ferroce | Self::Station => None,
        }
    }
}

impl fmt::Display for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rxe(kernel) => write!(f, "rxe-{kernel}"),
            Self::Ferroce => f.write_str("ferroce"),
            Self::Station => f.write_str("ferroce-tap"),
        }
    }
}

/// Requester and responder.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// Who posts the requests.
    pub requester: Player,
    /// Whose memory and receives they meet.
    pub responder: Player,
}

impl Pair {
    /// Ferroce with each kernel in both roles, and the two kernels with each other: what is expected of Ferroce
    /// must first be right for the original.
    pub fn all() -> Vec<Self> {
        let pair = |requester, responder| Self { requester, responder };
        let [old, new] = Kernel::ALL.map(Player::Rxe);
        let both_ways = |one, other| [pair(one, other), pair(other, one)];
        [both_ways(Player::Ferroce, old), both_ways(Player::Ferroce, new), both_ways(old, new)].concat()
    }

    /// Two halves of the pairs with Ferroce, each with both roles and both kernels.
    pub fn short() -> [[Self; 2]; 2] {
        let [old, new] = Kernel::ALL.map(Player::Rxe);
        let half = |responder, requester| {
            [Self { requester: Player::Ferroce, responder }, Self { requester, responder: Player::Ferroce }]
        };
        [half(old, new), half(new, old)]
    }

    /// Ferroce as a machine of its own with each kernel, in both roles.
    pub fn stations() -> Vec<Self> {
        let with = |rxe| {
            let station = Player::Station;
            [Self { requester: station, responder: rxe }, Self { requester: rxe, responder: station }]
        };
        Kernel::ALL.map(Player::Rxe).into_iter().flat_map(with).collect()
    }

    /// Whether this kernel is one of the two.
    pub fn has(&self, kernel: Kernel) -> bool {
        [self.requester, self.responder].contains(&Player::Rxe(kernel))
    }

    /// Whether Ferroce is one of the two.
    pub fn has_ferroce(&self) -> bool {
        [self.requester, self.responder].contains(&Player::Ferroce)
    }

    /// The kernel that meets Ferroce, and Ferroce's role, if it is one of the two.
    pub fn met(&self) -> Option<(Kernel, Role)> {
        match (self.requester, self.responder) {
            (Player::Ferroce | Player::Station, Player::Rxe(kernel)) => Some((kernel, Role::Requester)),
            (Player::Rxe(kernel), Player::Ferroce | Player::Station) => Some((kernel, Role::Responder)),
            _ => None,
        }
    }

    /// Plays a scenario with fresh peers.
    ///
    /// # Errors
    /// As [`Player::open`] and [`Scenario::run`].
    pub fn play(&self, scenario: &Scenario, world: &World) -> Result<Verdict> {
        let (mut requester, mut responder) = (self.requester.open(world)?, self.responder.open(world)?);
        scenario.run(requester.as_mut(), responder.as_mut())
    }

    /// Moves data with fresh peers; one of 20 packets that the guest sends or should receive is lost, if asked for.
    ///
    /// # Errors
    /// As [`Player::open`] and [`Bulk::run`].
    pub fn move_data(&self, bulk: &Bulk, loss: Option<Direction>, world: &World) -> Result<Verdict> {
        let (mut requester, mut responder) = (self.requester.open(world)?, self.responder.open(world)?);
        let lossy = [self.requester, self.responder].into_iter().find_map(Player::guest);
        let _loss = match (loss, lossy) {
            (Some(direction), Some(kernel)) => Some(Loss::start(world.guest(kernel), direction, ONE_IN)?),
            _ => None,
        };
        bulk.run(requester.as_mut(), responder.as_mut())
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.requester, self.responder)
    }
}
