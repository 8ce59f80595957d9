//! Connection management messages: every one that two kernels exchanged is understood and written again, an
//! independent program reads the same values, and no bytes do harm.

use std::net::IpAddr;

use ferroce_wire::cm::{CmError, CmMad, CmMessage, IpCmHeader, PortSpace, Req, ServiceId, gid_of};
use ferroce_wire::flow::flow_label_for_cm;
use ferroce_wire::frame::Frame;
use ferroce_wire::mad::{GSI_QKEY, MAD_LEN};
use ferroce_wire::{Packet, Qpn};
use proptest::prelude::*;

use crate::captures::captures;
use crate::tshark::{Column, compare, dec, hex};

/// Every packet to QP1 in the captures, with the addresses it travelled between.
fn for_each_mad(mut check: impl FnMut(&Packet<'_>, IpAddr, IpAddr)) -> usize {
    let mut count = 0;
    for capture in captures() {
        for (number, bytes) in (1..).zip(&capture.frames) {
            let datagram = Frame::parse(bytes).unwrap().datagram;
            let packet = datagram.packet().unwrap();
            if packet.headers.bth.dest_qp == Qpn::GSI {
                println!("{} frame {number}", capture.path.display());
                check(&packet, datagram.ip.src(), datagram.ip.dst());
                count += 1;
            }
        }
    }
    count
}

#[test]
fn every_message_of_the_captures_is_read_and_written_again() {
    let mut seen = [0; 11];
    let count = for_each_mad(|packet, _, _| {
        assert_eq!(packet.headers.deth.unwrap().qkey, GSI_QKEY);
        let mad = CmMad::parse(packet.payload).unwrap();
        seen[usize::from(mad.message.attribute() - 0x10)] += 1;
        assert_eq!(mad.emit(), *packet.payload);
    });
    assert_eq!(count, 175, "captures have been lost");
    // Path migration does not exist on RoCE: there is no LAP and no APR.
    assert!(seen[..9].iter().all(|seen| *seen > 0), "{seen:?}");
}

#[test]
fn requests_name_the_addresses_that_they_travel_between() {
    for_each_mad(|packet, src, dst| {
        let message = CmMad::parse(packet.payload).unwrap().message;
        let (private, service) = match &message {
            CmMessage::Req(req) => (&req.private_data[..IpCmHeader::LEN], req.service_id),
            CmMessage::SidrReq(req) => (&req.private_data[..IpCmHeader::LEN], req.service_id),
            _ => return,
        };
        assert!(matches!(service.port_space(), Some(PortSpace::Tcp | PortSpace::Udp)), "{service:?}");
        assert!(service.port() > Some(1024));
        let bytes = private.try_into().unwrap();
        let header = IpCmHeader::parse(bytes).unwrap();
        assert_eq!((header.src, header.dst), (src, dst));
        let mut again = [0xff; IpCmHeader::LEN];
        header.emit(&mut again);
        assert_eq!(again, *bytes);
        if let CmMessage::Req(req) = &message {
            assert_eq!([req.primary.local_gid, req.primary.remote_gid], [gid_of(src), gid_of(dst)]);
            let label = flow_label_for_cm(header.src_port, service.port().unwrap());
            assert_eq!(req.primary.flow_label, label);
        }
    });
}

fn req(packet: &Packet<'_>, field: fn(&Req) -> u64) -> Option<u64> {
    match message(packet)? {
        CmMessage::Req(req) => Some(field(&req)),
        _ => None,
    }
}

fn message(packet: &Packet<'_>) -> Option<CmMessage> {
    (packet.headers.bth.dest_qp == Qpn::GSI).then(|| CmMad::parse(packet.payload).unwrap().message)
}

macro_rules! of {
    ($packet:ident, $($name:ident . $field:ident)|+) => {
        match message($packet)? {
            $(CmMessage::$name(message) => Some(message.$field.into()),)+
            _ => None,
        }
    };
}

/// What Wireshark 4.0 dissects of connection management. The flow label it takes from the wrong twenty bits.
const COLUMNS: [Column; 40] = [
    hex("infiniband.mad.attributeid", |p| Some(message(p)?.attribute().into())),
    hex("infiniband.mad.transactionid", |p| {
        message(p)?;
        Some(CmMad::parse(p.payload).unwrap().transaction_id)
    }),
    hex("infiniband.cm.req.serviceid", |p| req(p, |req| req.service_id.0)),
    hex("infiniband.cm.req.localcaguid", |p| req(p, |req| req.local_ca_guid)),
    hex("infiniband.cm.req.localqkey", |p| req(p, |req| req.local_qkey.into())),
    hex("infiniband.cm.req.localqpn", |p| req(p, |req| req.local_qpn.value().into())),
    hex("infiniband.cm.req.responderres", |p| req(p, |req| req.responder_resources.into())),
    hex("infiniband.cm.req.initdepth", |p| req(p, |req| req.initiator_depth.into())),
    hex("infiniband.cm.req.remoteresptout", |p| req(p, |req| req.remote_response_timeout.into())),
    hex("infiniband.cm.req.transpsvctype", |p| req(p, |req| req.transport.into())),
    hex("infiniband.cm.req.e2eflowctrl", |p| req(p, |req| req.flow_control.into())),
    hex("infiniband.cm.req.startpsn", |p| req(p, |req| req.starting_psn.value().into())),
    hex("infiniband.cm.req.localresptout", |p| req(p, |req| req.local_response_timeout.into())),
    hex("infiniband.cm.req.retrcount", |p| req(p, |req| req.retry_count.into())),
    hex("infiniband.cm.req.pkey", |p| req(p, |req| req.pkey.into())),
    hex("infiniband.cm.req.pppmtu", |p| req(p, |req| req.path_mtu.into())),
    hex("infiniband.cm.req.rnrretrcount", |p| req(p, |req| req.rnr_retry_count.into())),
    hex("infiniband.cm.req.maxcmretr", |p| req(p, |req| req.max_cm_retries.into())),
    hex("infiniband.cm.req.srq", |p| req(p, |req| req.srq.into())),
    dec("infiniband.cm.req.prim_locallid", |p| req(p, |req| req.primary.local_lid.into())),
    hex("infiniband.cm.req.prim_tfcclass", |p| req(p, |req| req.primary.traffic_class.into())),
    hex("infiniband.cm.req.prim_hoplim", |p| req(p, |req| req.primary.hop_limit.into())),
    hex("infiniband.cm.req.prim_localacktout", |p| req(p, |req| req.primary.ack_timeout.into())),
    hex("infiniband.cm.rep.remotecommid", |p| of!(p, Rep.remote_id)),
    hex("infiniband.cm.rep.localqpn", |p| match message(p)? {
        CmMessage::Rep(rep) => Some(rep.local_qpn.value().into()),
        _ => None,
    }),
    hex("infiniband.cm.rep.startpsn", |p| match message(p)? {
        CmMessage::Rep(rep) => Some(rep.starting_psn.value().into()),
        _ => None,
    }),
    hex("infiniband.cm.rep.respres", |p| of!(p, Rep.responder_resources)),
    hex("infiniband.cm.rep.initdepth", |p| of!(p, Rep.initiator_depth)),
    hex("infiniband.cm.rep.tgtackdelay", |p| of!(p, Rep.target_ack_delay)),
    hex("infiniband.cm.rep.failoveracc", |p| of!(p, Rep.failover)),
    hex("infiniband.cm.rep.rnrretrcount", |p| of!(p, Rep.rnr_retry_count)),
    hex("infiniband.cm.rep.localcaguid", |p| of!(p, Rep.local_ca_guid)),
    hex("infiniband.cm.rtu.localcommid", |p| of!(p, Rtu.local_id)),
    hex("infiniband.cm.rtu.remotecommid", |p| of!(p, Rtu.remote_id)),
    hex("infiniband.cm.rej.localcommid", |p| of!(p, Rej.local_id)),
    hex("infiniband.cm.rej.msgrej", |p| of!(p, Rej.message)),
    hex("infiniband.cm.rej.rejinfolen", |p| of!(p, Rej.info_len)),
    hex("infiniband.cm.rej.reason", |p| match message(p)? {
        CmMessage::Rej(rej) => Some(rej.reason.0.into()),
        _ => None,
    }),
    hex("infiniband.cm.dreq.remotecommid", |p| of!(p, Dreq.remote_id)),
    dec("udp.length", |p| Some(8 + p.wire_len() as u64)),
];

#[test]
fn wireshark_reads_the_same_values() {
    compare("cm", &COLUMNS);
}

#[test]
fn what_is_no_message_is_refused_by_name() {
    let mad = CmMad { transaction_id: 1, modifier: 0, message: Req::default().into() };
    let refused = |change: fn(&mut [u8; MAD_LEN])| {
        let mut bytes = mad.emit();
        change(&mut bytes);
        CmMad::parse(&bytes)
    };
    assert_eq!(refused(|_| ()), Ok(mad));
    assert_eq!(refused(|bytes| bytes[0] = 2), Err(CmError::Class(7)));
    assert_eq!(refused(|bytes| bytes[1] = 3), Err(CmError::Class(3)));
    assert_eq!(refused(|bytes| bytes[2] = 1), Err(CmError::Version(1)));
    assert_eq!(refused(|bytes| bytes[3] = 0x81), Err(CmError::Class(7)));
    assert_eq!(refused(|bytes| bytes[17] = 0x1b), Err(CmError::Attribute(0x1b)));
    assert_eq!(CmMad::parse(&mad.emit()[..255]), Err(CmError::Length(255)));
    assert_eq!(CmMad::parse(&[0; 257]), Err(CmError::Length(257)));
}

#[test]
fn service_ids_are_ports_of_a_space() {
    assert_eq!(ServiceId::ip(PortSpace::Tcp, 7174).0, 0x0000_0000_0106_1c06);
    assert_eq!(ServiceId::ip(PortSpace::Udp, 1).port_space(), Some(PortSpace::Udp));
    assert_eq!(ServiceId(0x1_0106_1c06).port(), None);
    assert_eq!(format!("{:?}", ServiceId(0x0106_1c06)), "ServiceId(Tcp port 7174)");
}

proptest! {
    /// Reading is the inverse of writing on everything but reserved bits, which are written as zeros.
    #[test]
    fn what_is_read_is_written_and_read_again(attribute in 0x10..0x1bu8, body: [[u8; 29]; 8]) {
        let mut bytes = [0; MAD_LEN];
        bytes[..4].copy_from_slice(&[1, 7, 2, 3]);
        bytes[17] = attribute;
        bytes[24..].copy_from_slice(body.as_flattened());
        let mad = CmMad::parse(&bytes).unwrap();
        let again = mad.emit();
        prop_assert_eq!(CmMad::parse(&again), Ok(mad));
        for (written, read) in again.iter().zip(bytes) {
            prop_assert_eq!(written & !read, 0, "a bit was written that had not been read");
        }
        // What follows the fields is private data, all of which is kept.
        prop_assert_eq!(&again[164..], &bytes[164..]);
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 250..260)) {
        let _ = CmMad::parse(&bytes);
        let _ = IpCmHeader::parse(bytes.first_chunk().unwrap());
    }

    #[test]
    fn addresses_are_read_as_written(src_port: u16, v6: bool, src: u128, dst: u128) {
        let address = |bits: u128| -> IpAddr {
            if v6 { std::net::Ipv6Addr::from(bits).into() } else { std::net::Ipv4Addr::from(bits as u32).into() }
        };
        let header = IpCmHeader { src_port, src: address(src), dst: address(dst) };
        let mut bytes = [0; IpCmHeader::LEN];
        header.emit(&mut bytes);
        prop_assert_eq!(IpCmHeader::parse(&bytes), Some(header));
        for wrong in [(0, 0x01), (0, 0x10), (1, 0x50)] {
            let mut bytes = bytes;
            bytes[wrong.0] = wrong.1;
            prop_assert_eq!(IpCmHeader::parse(&bytes), None);
        }
    }
}
