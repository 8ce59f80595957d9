//! Membership in multicast groups, told to routers and switches: IGMPv2 (RFC 2236) and MLDv2 (RFC 3810).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ferroce_engine::Time;

/// Groups that a NIC can be a member of.
const GROUPS: usize = 256;

/// So often a new member reports unasked, in case a report is lost.
const UNASKED: u8 = 2;

/// Time between two of these.
const REPEAT: Duration = Duration::from_secs(1);

/// The longest time that an answer to a query is put off, whatever the query allows.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Groups {
    joined: BTreeMap<IpAddr, Member>,
}

#[derive(Debug)]
struct Member {
    /// How often it was joined and not left.
    joins: u32,
    /// When to report, and as what.
    report: Option<(Time, Report)>,
    /// Reports to come that nobody has asked for.
    unasked: u8,
}

/// What a report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// We have joined.
    Joined,
    /// We are members.
    Member,
    /// We have left.
    Left,
}

impl Groups {
    pub(super) fn contains(&self, group: IpAddr) -> bool {
        self.joined.contains_key(&group)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.joined.keys().copied()
    }

    /// Joins a group, which is then due to be reported. False if there are too many.
    pub(super) fn join(&mut self, group: IpAddr) -> bool {
        if let Some(member) = self.joined.get_mut(&group) {
            member.joins += 1;
            return true;
        }
        if self.joined.len() >= GROUPS {
            return false;
        }
        let report = Some((Time::ZERO, Report::Joined));
        self.joined.insert(group, Member { joins: 1, report, unasked: UNASKED });
        true
    }

    /// Leaves a group. True when that is to be reported.
    pub(super) fn leave(&mut self, group: IpAddr) -> bool {
        let Some(member) = self.joined.get_mut(&group) else { return false };
        member.joins -= 1;
        if member.joins == 0 {
            self.joined.remove(&group);
            return true;
        }
        false
    }

    /// Somebody asks who is a member: of `group`, or of all groups of one IP version.
    pub(super) fn asked(&mut self, now: Time, group: IpAddr, within: Duration) {
        let within = within.min(LONGEST_DELAY);
        let asked_for = |member: IpAddr| {
            member == group || (group.is_unspecified() && member.is_ipv4() == group.is_ipv4())
        };
        for (addr, member) in self.joined.iter_mut().filter(|(addr, _)| asked_for(**addr)) {
            // Different from group to group, so that the answers do not come all at once.
            let at = now + within.mul_f64(f64::from(spread(*addr)) / 256.0);
            if member.report.is_none_or(|(planned, _)| at < planned) {
                member.report = Some((at, Report::Member));
            }
        }
    }

    /// Another member has told the router (IGMPv2, where one is enough).
    pub(super) fn told_by_another(&mut self, group: IpAddr) {
        if let Some(member) = self.joined.get_mut(&group)
            && matches!(member.report, Some((_, Report::Member)))
        {
            member.report = None;
        }
    }

    /// A report that is due at `now`, one after the other.
    pub(super) fn due(&mut self, now: Time) -> Option<(IpAddr, Report)> {
        let is_due = |member: &Member| member.report.filter(|(at, _)| *at <= now);
        let (addr, member) = self.joined.iter_mut().find(|(_, member)| is_due(member).is_some())?;
        let (_, report) = member.report.take()?;
        if report == Report::Joined {
            member.unasked -= 1;
            member.report = (member.unasked > 0).then_some((now + REPEAT, Report::Joined));
        }
        Some((*addr, report))
    }

    /// When [`due`](Self::due) will have something.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.joined.values().filter_map(|member| member.report).map(|(at, _)| at).min()
    }
}

fn spread(addr: IpAddr) -> u8 {
    let fold = |octets: &[u8]| octets.iter().fold(0, |sum: u8, octet| sum.rotate_left(3) ^ octet);
    match addr {
        IpAddr::V4(addr) => fold(&addr.octets()),
        IpAddr::V6(addr) => fold(&addr.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn joining_is_told_twice_and_leaving_once() {
        let (mut groups, group) = (Groups::default(), ip("239.1.2.3"));
        assert!(groups.join(group) && groups.join(group), "a second member of the same NIC changes nothing");
        assert_eq!(groups.next_timeout(), Some(Time::ZERO), "at once");
        assert_eq!(groups.due(at(5)), Some((group, Report::Joined)));
        assert_eq!(groups.due(at(5)), None);
        assert_eq!(groups.due(at(6)), Some((group, Report::Joined)));
        assert_eq!(groups.next_timeout(), None);
        assert!(!groups.leave(group) && groups.contains(group));
        assert!(groups.leave(group) && !groups.contains(group));
        assert!(!groups.leave(group));
    }

    /// Joins groups and lets them tell what they tell unasked, until second 1.
    fn members(addrs: &[IpAddr]) -> Groups {
        let mut groups = Groups::default();
        for group in addrs {
            assert!(groups.join(*group));
        }
        for second in [0, 1] {
            while groups.due(at(second)).is_some() {}
        }
        groups
    }

    #[test]
    fn queries_are_answered_in_time_and_only_for_what_they_ask() {
        let (v4, v6) = (ip("239.1.2.3"), ip("ff0e::1:2"));
        let mut groups = members(&[v4, v6]);
        groups.asked(at(5), ip("0.0.0.0"), Duration::from_secs(3));
        groups.asked(at(5), ip("ff0e::1:3"), Duration::from_secs(3));
        assert!(groups.next_timeout().is_some_and(|next| next <= at(8)));
        assert_eq!(groups.due(at(8)), Some((v4, Report::Member)));
        assert_eq!(groups.due(at(8)), None);
        groups.asked(at(9), v6, Duration::MAX);
        assert_eq!(groups.due(at(19)), Some((v6, Report::Member)));
    }

    #[test]
    fn another_members_report_is_enough_for_an_ipv4_router() {
        let group = ip("239.1.2.3");
        let mut groups = members(&[group]);
        groups.asked(at(2), group, Duration::from_secs(1));
        groups.told_by_another(group);
        assert_eq!(groups.due(at(9)), None);
        groups.leave(group);
        groups.join(group);
        groups.told_by_another(group);
        assert_eq!(groups.due(at(9)), Some((group, Report::Joined)), "what is unasked is told all the same");
    }

    #[test]
    fn there_is_a_bound() {
        let mut groups = Groups::default();
        let joined = (0..1000).filter(|n| groups.join(IpAddr::V4((0xE900_0000 + n).into())));
        assert_eq!(joined.count(), GROUPS);
    }
}
