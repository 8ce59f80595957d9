//! Which Ethernet address belongs to which IP address, and the packets that wait to know.
//!
//! After RFC 826 for IPv4 and RFC 4861 for IPv6, which differ in their packets and agree in the rest: ask three
//! times, a second apart; believe an answer for 30 seconds; then go on using it, but ask again, now only the
//! station itself; and forget a station that does not answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use ferroce_engine::Time;

use crate::ethernet::MacAddr;

/// Neighbours that are remembered. The one that was used longest ago makes room for another.
const ENTRIES: usize = 1024;

/// Neighbours whose Ethernet address can be sought at the same time.
const SOUGHT: usize = 64;

/// Bytes of packets that can wait for one neighbour's Ethernet address. What comes on top is lost.
const WAITING: usize = 256 << 10;

/// How long an answer is believed (`REACHABLE_TIME` of RFC 4861).
const BELIEVED: Duration = Duration::from_secs(30);

/// Time between two questions (`RETRANS_TIMER`).
const PATIENCE: Duration = Duration::from_secs(1);

/// Questions before giving up (`MAX_MULTICAST_SOLICIT`, `MAX_UNICAST_SOLICIT`).
const QUESTIONS: u8 = 3;

#[derive(Debug, Default)]
pub(super) struct Neighbours {
    entries: BTreeMap<IpAddr, Entry>,
    /// Those that are being asked for, by the moment of the next question.
    asking: BTreeSet<(Time, IpAddr)>,
}

#[derive(Debug)]
struct Entry {
    mac: Option<MacAddr>,
    believed_until: Time,
    last_used: Time,
    /// Questions asked and not answered, and when to ask again or give up.
    asked: Option<(u8, Time)>,
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
}

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Its address.
    Here(MacAddr),
    /// It has been asked for, and packets can [wait](Neighbours::hold).
    Sought,
    /// Too many are being sought already.
    TooMany,
}

/// Something that time brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask for it: everybody, or only the station that had it.
    Ask(IpAddr, Option<MacAddr>),
    /// It did not answer, and so many packets that waited for it are lost.
    GiveUp(IpAddr, usize),
}

/// Why an Ethernet address is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The neighbour talks to us: it will be talked to.
    Asked,
    /// It answered us.
    Answered,
    /// It told everybody, or changed its mind: believed of neighbours that are known, or else anybody could fill
    /// the table.
    Announced,
}

impl Neighbours {
    /// Looks for a neighbour that a packet is to be sent to. The second value says that it is to be asked for
    /// now, for the first time or again.
    pub(super) fn find(&mut self, now: Time, addr: IpAddr) -> (Found, Option<Due>) {
        if !self.entries.contains_key(&addr) {
            let sought = self.asking.iter().filter(|(_, addr)| self.entries[addr].mac.is_none()).count();
            if sought >= SOUGHT {
                return (Found::TooMany, None);
            }
            self.make_room();
            self.entries.insert(addr, Entry::new(now));
        }
        let Some(entry) = self.entries.get_mut(&addr) else { return (Found::TooMany, None) };
        entry.last_used = now;
        let mut due = None;
        if entry.asked.is_none() && (entry.mac.is_none() || entry.believed_until <= now) {
            entry.asked = Some((1, now + PATIENCE));
            self.asking.insert((now + PATIENCE, addr));
            due = Some(Due::Ask(addr, entry.mac));
        }
        (entry.mac.map_or(Found::Sought, Found::Here), due)
    }

    /// Keeps a frame until the neighbour, which is [sought](Found::Sought), is found. False if there is no room.
    pub(super) fn hold(&mut self, addr: IpAddr, frame: Vec<u8>) -> bool {
        let Some(entry) = self.entries.get_mut(&addr) else { return false };
        if entry.waiting_bytes + frame.len() > WAITING {
            return false;
        }
        entry.waiting_bytes += frame.len();
        entry.waiting.push_back(frame);
        true
    }

    /// Takes note of where a neighbour is, and gives the frames that waited for it.
    pub(super) fn learn(
        &mut self,
        now: Time,
        addr: IpAddr,
        mac: MacAddr,
        source: Source,
    ) -> VecDeque<Vec<u8>> {
        if !self.entries.contains_key(&addr) {
            if source != Source::Asked {
                return VecDeque::new();
            }
            self.make_room();
            self.entries.insert(addr, Entry::new(now));
        }
        let Some(entry) = self.entries.get_mut(&addr) else { return VecDeque::new() };
        if let Some((_, next)) = entry.asked.take() {
            self.asking.remove(&(next, addr));
        }
        entry.mac = Some(mac);
        entry.believed_until = now + BELIEVED;
        entry.waiting_bytes = 0;
        std::mem::take(&mut entry.waiting)
    }

    /// What is due at `now`, one thing after the other.
    pub(super) fn due(&mut self, now: Time) -> Option<Due> {
        let (next, addr) = *self.asking.first().filter(|(next, _)| *next <= now)?;
        self.asking.remove(&(next, addr));
        let entry = self.entries.get_mut(&addr)?;
        match entry.asked {
            Some((asked, _)) if asked < QUESTIONS => {
                entry.asked = Some((asked + 1, now + PATIENCE));
                self.asking.insert((now + PATIENCE, addr));
                Some(Due::Ask(addr, entry.mac))
            }
            _ => {
                let lost = entry.waiting.len();
                self.entries.remove(&addr);
                Some(Due::GiveUp(addr, lost))
            }
        }
    }

    /// When [`due`](Self::due) will have something.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.asking.first().map(|(next, _)| *next)
    }

    fn make_room(&mut self) {
        if self.entries.len() < ENTRIES {
            return;
        }
        // Those that packets wait for are few, and must stay.
        let known = self.entries.iter().filter(|(_, entry)| entry.mac.is_some());
        let Some((addr, _)) = known.min_by_key(|(_, entry)| entry.last_used) else { return };
        let addr = *addr;
        if let Some((_, next)) = self.entries.remove(&addr).and_then(|entry| entry.asked) {
            self.asking.remove(&(next, addr));
        }
    }
}

impl Entry {
    fn new(now: Time) -> Entry {
        Entry {
            mac: None,
            believed_until: now,
            last_used: now,
            asked: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn addr(number: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0A00_0000 + number))
    }

    #[test]
    fn packets_wait_until_the_neighbour_is_found() {
        let mut neighbours = Neighbours::default();
        let peer = addr(9);
        assert_eq!(neighbours.find(at(0), peer), (Found::Sought, Some(Due::Ask(peer, None))));
        assert!(neighbours.hold(peer, vec![1]));
        assert_eq!(neighbours.find(at(0), peer), (Found::Sought, None), "one question at a time");
        assert!(neighbours.hold(peer, vec![2]));
        assert_eq!(neighbours.learn(at(0), peer, MAC, Source::Answered), [vec![1], vec![2]]);
        assert_eq!(neighbours.find(at(29), peer), (Found::Here(MAC), None));
        assert_eq!(neighbours.next_timeout(), None);
    }

    #[test]
    fn three_questions_then_the_packets_are_lost_and_it_begins_anew() {
        let mut neighbours = Neighbours::default();
        let peer = addr(9);
        neighbours.find(at(0), peer);
        assert!(neighbours.hold(peer, vec![1]));
        assert_eq!(neighbours.due(at(0)), None);
        for second in [1, 2] {
            assert_eq!(neighbours.next_timeout(), Some(at(second)));
            assert_eq!(neighbours.due(at(second)), Some(Due::Ask(peer, None)));
        }
        assert_eq!(neighbours.due(at(3)), Some(Due::GiveUp(peer, 1)));
        assert_eq!(neighbours.due(at(99)), None);
        assert_eq!(neighbours.find(at(99), peer), (Found::Sought, Some(Due::Ask(peer, None))));
    }

    #[test]
    fn a_station_that_fell_silent_is_asked_itself_and_then_forgotten() {
        let mut neighbours = Neighbours::default();
        let peer = addr(9);
        neighbours.learn(at(0), peer, MAC, Source::Asked);
        assert_eq!(neighbours.find(at(30), peer), (Found::Here(MAC), Some(Due::Ask(peer, Some(MAC)))));
        assert_eq!(neighbours.due(at(31)), Some(Due::Ask(peer, Some(MAC))));
        assert_eq!(neighbours.find(at(31), peer), (Found::Here(MAC), None), "packets go on meanwhile");
        assert_eq!(neighbours.due(at(32)), Some(Due::Ask(peer, Some(MAC))));
        assert_eq!(neighbours.due(at(33)), Some(Due::GiveUp(peer, 0)));
        assert_eq!(neighbours.find(at(34), peer), (Found::Sought, Some(Due::Ask(peer, None))));
    }

    #[test]
    fn an_announcement_moves_a_known_station_and_makes_none_known() {
        let mut neighbours = Neighbours::default();
        let moved = MacAddr([2, 0, 0, 0, 0, 10]);
        neighbours.learn(at(0), addr(9), MAC, Source::Asked);
        neighbours.learn(at(1), addr(9), moved, Source::Announced);
        neighbours.learn(at(1), addr(8), moved, Source::Announced);
        assert_eq!(neighbours.find(at(1), addr(9)).0, Found::Here(moved));
        assert_eq!(neighbours.find(at(1), addr(8)).0, Found::Sought);
    }

    #[test]
    fn everything_has_a_bound() {
        let mut neighbours = Neighbours::default();
        for number in 0..10_000 {
            neighbours.learn(at(u64::from(number)), addr(number), MAC, Source::Asked);
        }
        assert_eq!(neighbours.entries.len(), ENTRIES);
        assert_eq!(neighbours.find(at(9_999), addr(9_999)).0, Found::Here(MAC), "the latest are kept");
        let sought = (20_000..30_000).filter(|n| neighbours.find(at(10_000), addr(*n)).0 == Found::Sought);
        assert_eq!(sought.count(), SOUGHT);
        assert!(neighbours.entries.len() <= ENTRIES);
        let held = (0..1000).filter(|_| neighbours.hold(addr(20_000), vec![0; 1000])).count();
        assert_eq!(held, WAITING / 1000);
        let due = std::iter::from_fn(|| neighbours.due(at(99_999)));
        assert!(due.count() <= ENTRIES * usize::from(QUESTIONS), "time ends what is due");
    }
}
