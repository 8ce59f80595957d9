//! All that the panels show.

use std::time::Duration;

use ferroce_recording::{PacketRecord, What};

use crate::film::{Film, HostScene, QpScene, Rung, Scene};
use crate::tui::Look;

/// A panel at the bottom of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Panel {
    /// PSNs in flight.
    Window,
    /// All events.
    Events,
    /// The selected packet.
    Packet,
    /// The states of the queue pair.
    States,
    /// Remote memory that packets name.
    Memory,
    /// What links carried.
    Links,
    /// What was counted.
    Counters,
    /// Why the queue pair died.
    Why,
    /// The other branch.
    Branches,
}

impl Panel {
    /// All of them, in the order of their tabs.
    pub const ALL: [Panel; 9] = [
        Panel::Window,
        Panel::Events,
        Panel::Packet,
        Panel::States,
        Panel::Memory,
        Panel::Links,
        Panel::Counters,
        Panel::Why,
        Panel::Branches,
    ];

    /// What is written on its tab.
    pub const fn name(self) -> &'static str {
        match self {
            Panel::Window => "Window",
            Panel::Events => "Events",
            Panel::Packet => "Packet",
            Panel::States => "States",
            Panel::Memory => "Memory",
            Panel::Links => "Links",
            Panel::Counters => "Counts",
            Panel::Why => "Why",
            Panel::Branches => "Pasts",
        }
    }
}

/// What there is to see: a film at one moment, and what the user looks at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Characters and colours.
    pub look: &'a Look,
    /// The film.
    pub film: &'a Film,
    /// The moment.
    pub scene: &'a Scene,
    /// The other branch, where it is now, and where the two part.
    pub other: Option<(&'a Film, &'a Scene, usize)>,
    /// Whether this branch is the changed one.
    pub changed: bool,
    /// The frame of the selected packet.
    pub selected: Option<usize>,
    /// The highlighted field of that packet.
    pub field: usize,
    /// The host and the place of the queue pair that is looked at.
    pub looked_at: (usize, usize),
    /// Only packets of that host are shown.
    pub filtered: bool,
    /// The panel at the bottom.
    pub panel: Panel,
    /// How long requesters wait for answers, if the film says so.
    pub timeout: Option<Duration>,
    /// Time runs.
    pub running: bool,
    /// Events in a second while it runs.
    pub pace: u32,
    /// The help is in front.
    pub help: bool,
    /// What the user is typing, with its prompt.
    pub entry: Option<(char, &'a str)>,
    /// What to tell the user.
    pub message: &'a str,
    /// What there is in the film, and the keys that lead there.
    pub overview: &'a str,
}

impl<'a> View<'a> {
    /// The latest packets, or those of the host that is looked at.
    pub fn rungs(&self) -> impl Iterator<Item = &'a Rung> + use<'a> {
        let (host, all) = (self.looked_at.0, !self.filtered);
        let is_its = move |rung: &&Rung| all || rung.from == host || rung.to == Some(host);
        self.scene.rungs.iter().filter(is_its)
    }

    /// The selected packet in the ladder.
    pub fn rung(&self) -> Option<&'a Rung> {
        let selected = self.selected?;
        self.scene.rungs.iter().find(|rung| rung.frame == selected)
    }

    /// The bytes of the selected packet.
    pub fn packet(&self) -> Option<&'a PacketRecord> {
        match &self.film.frames.get(self.selected?)?.what {
            What::Packet(packet) => Some(packet),
            What::Device(_) | What::Switch(_) => None,
        }
    }

    /// The queue pair that is looked at, and its host.
    pub fn qp(&self) -> Option<(&'a str, &'a HostScene, &'a QpScene)> {
        let (host, nth) = self.looked_at;
        let scene = self.scene.hosts.get(host)?;
        Some((self.name(host), scene, scene.qps.values().nth(nth)?))
    }

    /// What a switch is called, and what its port is joined to.
    pub fn port(&self, switch: u32, port: u16) -> (&'a str, &'a str) {
        let at = self.film.switches.get(switch as usize);
        let peer = at.and_then(|switch| switch.ports.get(usize::from(port)));
        (at.map_or("?", |switch| switch.name.as_str()), peer.map_or("?", String::as_str))
    }

    /// What a host is called.
    pub fn name(&self, host: usize) -> &'a str {
        self.film.hosts.get(host).map_or("?", |host| host.name.as_str())
    }
}
