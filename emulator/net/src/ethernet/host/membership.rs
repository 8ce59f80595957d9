//! IGMP and MLD messages, and the groups that they are about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ferroce_engine::Time;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv6Packet, Icmpv6Repr, IgmpPacket, IgmpRepr, IgmpVersion, IpProtocol, MldAddressRecord,
    MldAddressRecordRepr, MldRecordType, MldRepr,
};

use super::Host;
use super::frames::Letter;
use super::groups::Report;
use crate::ethernet::MacAddr;

/// Where IGMPv2 tells that it leaves a group.
const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);

/// Where MLDv2 tells everything.
const MLDV2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// A hop-by-hop header that asks routers to look: next header ICMPv6, length 8, Router Alert for MLD, PadN of
/// nothing (RFC 2711, RFC 8200 section 4.2).
const ROUTER_ALERT: [u8; 8] = [58, 0, 5, 2, 0, 0, 1, 0];

/// The longest delay that IGMPv2 allows when a query names none (Query Response Interval).
const USUAL_DELAY: Duration = Duration::from_secs(10);

impl Host {
    /// Reads an IGMP message.
    pub(super) fn handle_igmp(&mut self, now: Time, bytes: &[u8]) {
        let parsed = IgmpPacket::new_checked(bytes).map(|packet| (packet.verify_checksum(), packet));
        let Ok((intact, packet)) = parsed else {
            self.counters.rx_errors += 1;
            return;
        };
        if !intact {
            self.counters.rx_checksum_errors += 1;
            return;
        }
        match IgmpRepr::parse(&packet) {
            Ok(IgmpRepr::MembershipQuery { max_resp_time, group_addr, .. }) => {
                let within = match Duration::from(max_resp_time) {
                    Duration::ZERO => USUAL_DELAY,
                    within => within,
                };
                self.groups.asked(now, group_addr.into(), within);
            }
            Ok(IgmpRepr::MembershipReport { group_addr, .. }) => {
                self.groups.told_by_another(group_addr.into())
            }
            _ => {}
        }
    }

    /// Takes an MLD message, which a router has sent from its link-local address.
    pub(super) fn handle_mld(&mut self, now: Time, message: &MldRepr<'_>) {
        if let MldRepr::Query { max_resp_code, mcast_addr, .. } = *message {
            let within = Duration::from_millis(mld_delay(max_resp_code));
            self.groups.asked(now, mcast_addr.into(), within);
        }
    }

    /// Joins a group: its packets are received from now on, and routers and switches will be told. Joins are
    /// counted. False if there are too many groups.
    pub(in crate::ethernet) fn join(&mut self, group: IpAddr) -> bool {
        self.groups.join(group)
    }

    /// Leaves a group that was joined.
    pub(in crate::ethernet) fn leave(&mut self, group: IpAddr) {
        if self.groups.leave(group) {
            self.report(group, Report::Left);
        }
    }

    /// Whether packets to this address are for us, though we send them.
    pub(in crate::ethernet) fn is_member(&self, group: IpAddr) -> bool {
        self.groups.contains(group)
    }

    /// Tells the routers about a group.
    pub(super) fn report(&mut self, group: IpAddr, report: Report) {
        match group {
            IpAddr::V4(group) => self.report_igmp(group, report),
            IpAddr::V6(group) => self.report_mld(group, report),
        }
    }

    fn report_igmp(&mut self, group: Ipv4Addr, report: Report) {
        let Some(IpAddr::V4(src)) = self.source_for(group.into()) else { return };
        let (dst, repr) = match report {
            Report::Left => (ALL_ROUTERS, IgmpRepr::LeaveGroup { group_addr: group }),
            _ => {
                let version = IgmpVersion::Version2;
                (group, IgmpRepr::MembershipReport { group_addr: group, version })
            }
        };
        let letter = Letter { to: MacAddr::of_group(dst.into()), src, dst, hop_limit: 1 };
        self.emit_v4_alerting(letter, IpProtocol::Igmp, repr.buffer_len(), |bytes| {
            repr.emit(&mut IgmpPacket::new_unchecked(bytes));
        });
    }

    fn report_mld(&mut self, group: Ipv6Addr, report: Report) {
        let record = MldAddressRecordRepr {
            num_srcs: 0,
            mcast_addr: group,
            record_type: match report {
                Report::Joined => MldRecordType::ChangeToExclude,
                Report::Member => MldRecordType::ModeIsExclude,
                Report::Left => MldRecordType::ChangeToInclude,
            },
            aux_data_len: 0,
            payload: &[],
        };
        let mut data = vec![0; record.buffer_len()];
        record.emit(&mut MldAddressRecord::new_unchecked(&mut data[..]));
        let repr = Icmpv6Repr::Mld(MldRepr::Report { nr_mcast_addr_rcrds: 1, data: &data });
        let (src, dst) = (self.mac.link_local(), MLDV2_ROUTERS);
        let letter = Letter { to: MacAddr::of_group(dst.into()), src, dst, hop_limit: 1 };
        let len = ROUTER_ALERT.len() + repr.buffer_len();
        self.emit_v6(letter, IpProtocol::HopByHop, len, |bytes| {
            let (options, message) = bytes.split_at_mut(ROUTER_ALERT.len());
            options.copy_from_slice(&ROUTER_ALERT);
            let mut packet = Icmpv6Packet::new_unchecked(message);
            repr.emit(&src, &dst, &mut packet, &ChecksumCapabilities::default());
        });
    }
}

/// Milliseconds of a Maximum Response Code (RFC 3810 section 5.1.3).
fn mld_delay(code: u16) -> u64 {
    let code = u64::from(code);
    if code < 0x8000 { code } else { (code & 0xfff | 0x1000) << ((code >> 12 & 7) + 3) }
}
