//! A session between two cards that do not agree, played again and again until its settings are mended.

use std::time::Duration;

use ferroce_engine::{
    Access, AddressVector, Buffer, Cq, MrInit, PathMtu, Payload, Psn, QpAttr, QpInit, QpType, RecvWr, SendOp,
    SendWr, Sge, VerbsError, WcStatus,
};
use ferroce_fabric::{End, Fabric, Link, What};
use ferroce_wire::{Headers, NakCode, Syndrome, UDP_PORT};

use super::MENDED;
use crate::course::Question;
use crate::dice::Dice;
use crate::failure::{Row, Wrong};
use crate::film::Film;
use crate::talk::{Players, Stop, hex};

/// Sessions after which everything that can be wrong has shown itself.
const MOST_SESSIONS: usize = 8;

/// Bytes of the message.
const MESSAGE: usize = 3000;

/// What the requester's end is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Settings {
    first_psn: u32,
    path_mtu: u32,
    rnr_retry: u8,
}

/// A session, as it is set up at first.
pub(super) struct Session {
    seed: u64,
    settings: Settings,
    /// What the responder expects.
    psn: u32,
    mtu: PathMtu,
    /// Its receive is posted after the message has come.
    late: bool,
}

impl Session {
    pub(super) fn draw(number: usize, dice: &mut Dice) -> Session {
        let psn = if dice.flag() { dice.number(24) as u32 } else { dice.number(3) as u32 };
        let (wrong_psn, wrong_mtu, late) = match number {
            0 => (true, false, false),
            1 => (false, true, false),
            2 => (false, false, true),
            3 => (true, true, true),
            _ => (dice.flag(), dice.flag(), true),
        };
        let ahead = if wrong_psn { 1 + dice.number(8) as u32 } else { 0 };
        let mtu = match number {
            // No constant mends both of these.
            1 => PathMtu::Mtu256,
            3 => [PathMtu::Mtu512, PathMtu::Mtu1024][usize::from(dice.flag())],
            _ => [PathMtu::Mtu256, PathMtu::Mtu512, PathMtu::Mtu1024][dice.number(8) as usize % 3],
        };
        let path_mtu = mtu.bytes() as u32 * if wrong_mtu { 2 } else { 1 };
        let settings =
            Settings { first_psn: (psn + ahead) & 0x00ff_ffff, path_mtu, rnr_retry: u8::from(!late) * 7 };
        Session { seed: dice.bits(), settings, psn, mtu, late }
    }

    /// Plays it with these settings: what was on the wire, and whether the message has arrived.
    fn play(&self, settings: Settings) -> Result<(Fabric, bool), VerbsError> {
        let mut fabric: Fabric = Fabric::new(self.seed);
        fabric.set_links(Link::perfect(Duration::from_micros(2)));
        let [(requester, sge, cq), (responder, inbox, received)] =
            [end(&mut fabric, "you")?, end(&mut fabric, "peer")?];
        let av = |end: End, fabric: &Fabric| AddressVector::new(0, fabric.address(end.host));
        let (to, back) = (av(responder, &fabric), av(requester, &fabric));
        let mtu = PathMtu::from_bytes(settings.path_mtu as usize).unwrap_or(PathMtu::Mtu256);
        let rts = QpAttr::rts(Psn::new(settings.first_psn));
        let changes = [
            (requester, QpAttr::init(Access::empty())),
            (responder, QpAttr::init(Access::empty())),
            (requester, QpAttr::rtr(to, responder.qp, Psn::new(0), mtu)),
            (responder, QpAttr::rtr(back, requester.qp, Psn::new(self.psn), self.mtu)),
            (requester, QpAttr { timeout: Some(6), rnr_retry: Some(settings.rnr_retry), ..rts }),
            (responder, QpAttr::rts(Psn::new(0))),
        ];
        for (end, change) in changes {
            fabric.modify_qp(end, &change)?;
        }
        let posts = |fabric: &mut Fabric| fabric.post_recv(responder, &[RecvWr { wr_id: 1, sges: &[inbox] }]);
        let list = [sge];
        let message = SendWr::new(1, SendOp::Send, Payload::Sges(&list));
        if !self.late {
            posts(&mut fabric).map_err(|error| error.cause)?;
        }
        fabric.post_send(requester, &[message]).map_err(|error| error.cause)?;
        fabric.run_for(Duration::from_micros(100));
        if self.late {
            // What failed already is past help.
            posts(&mut fabric).ok();
        }
        fabric.run_for(Duration::from_millis(200));
        let arrived = |fabric: &mut Fabric, end: End, cq: Cq| {
            fabric.poll(end.host, cq).iter().any(|wc| wc.status == WcStatus::Success)
        };
        let is_sent = arrived(&mut fabric, requester, cq);
        let is_there = arrived(&mut fabric, responder, received);
        Ok((fabric, is_sent && is_there))
    }

    /// What is to be changed after these packets.
    fn mended(settings: Settings, packets: &[Headers]) -> Settings {
        let nak = packets.iter().find_map(|packet| match packet.aeth?.syndrome {
            Syndrome::Ack { .. } => None,
            // That is waited for.
            Syndrome::RnrNak { .. } if settings.rnr_retry == 7 => None,
            syndrome => Some((syndrome, packet.bth.psn)),
        });
        match nak {
            Some((Syndrome::Nak(NakCode::PsnSequence), psn)) => {
                Settings { first_psn: psn.value(), ..settings }
            }
            Some((Syndrome::RnrNak { .. }, _)) => Settings { rnr_retry: 7, ..settings },
            _ => Settings { path_mtu: settings.path_mtu / 2, ..settings },
        }
    }
}

impl Question for Session {
    fn describe(&self) -> String {
        let Settings { first_psn, path_mtu, rnr_retry } = self.settings;
        format!(
            "first_psn {first_psn:#08x}, path_mtu {path_mtu}, rnr_retry {rnr_retry}; a message of {MESSAGE} bytes"
        )
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let mut settings = self.settings;
        for session in 1..=MOST_SESSIONS {
            let (fabric, arrived) = self.play(settings).expect("a session can be set up");
            if arrived {
                return Ok(());
            }
            let packets: Vec<&[u8]> = fabric
                .log()
                .entries
                .iter()
                .filter_map(|entry| match &entry.what {
                    What::Packet(sent) => Some(&*sent.bytes),
                    _ => None,
                })
                .collect();
            let headers: Vec<Headers> = packets
                .iter()
                .filter_map(|packet| Headers::parse(packet).ok())
                .map(|(headers, _)| headers)
                .collect();
            let wanted = Session::mended(settings, &headers);
            let frames: Vec<String> = packets.iter().take(16).map(|packet| hex(&frame(packet))).collect();
            let Settings { first_psn, path_mtu, rnr_retry } = settings;
            let seen =
                players.ask(&format!("mend {first_psn} {path_mtu} {rnr_retry} {}", frames.join(" ")))?;
            let right = format!("{} {} {}", wanted.first_psn, wanted.path_mtu, wanted.rnr_retry);
            if seen != right {
                let words = |text: &str| {
                    let numbers: Vec<&str> = text.split(' ').collect();
                    format!("first_psn {}, path_mtu {}, rnr_retry {}", numbers[0], numbers[1], numbers[2])
                };
                let lines = [
                    format!(
                        "session {session} with {}",
                        words(&format!("{first_psn} {path_mtu} {rnr_retry}"))
                    ),
                    format!("expected  {}", words(&right)),
                    format!("seen      {}", words(&seen)),
                ];
                let film = Film::of(&fabric, fabric.log().entries.len());
                let wrong = Wrong::new(&MENDED, vec![Row::exact("First", lines)]);
                return Err(Wrong { film: Some(film), ..wrong }.into());
            }
            settings = wanted;
        }
        unreachable!("three things can be wrong, and a path MTU is found in as many tries as there are")
    }
}

/// A queue pair with memory for the message.
fn end(fabric: &mut Fabric, name: &str) -> Result<(End, Sge, Cq), VerbsError> {
    let host = fabric.add_host(name);
    fabric.with(host, |device, _| {
        let pd = device.alloc_pd()?;
        let cq = device.create_cq(16)?;
        let buffer = Buffer::new(MESSAGE);
        let mr = device.reg_mr(pd, MrInit::new(&buffer, Access::LOCAL_WRITE))?;
        let init = QpInit { signal_all: true, ..QpInit::new(QpType::Rc, pd, cq) };
        let qp = device.create_qp(&init)?;
        Ok((End { host, qp }, Sge { addr: buffer.addr(), len: MESSAGE as u32, lkey: mr.lkey }, cq))
    })
}

/// A packet as a capture has it, with Ethernet, IPv4 and UDP headers of which no more than the kind matters.
fn frame(packet: &[u8]) -> Vec<u8> {
    let udp_len = (8 + packet.len()) as u16;
    let mut frame = vec![0; 12];
    frame.extend_from_slice(&[8, 0, 0x45, 0]);
    frame.extend_from_slice(&(udp_len + 20).to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    for number in [0xC000, UDP_PORT, udp_len, 0] {
        frame.extend_from_slice(&number.to_be_bytes());
    }
    frame.extend_from_slice(&packet[..packet.len().min(64)]);
    frame
}
