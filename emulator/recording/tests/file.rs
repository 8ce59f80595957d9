//! What is written can be read, whole, cut and damaged.

use std::io::Write;
use std::sync::{Arc, Mutex};

use ferroce_engine::{
    Access, AccessDenied, AsyncEvent, DropReason, LossCause, QpEvent, QpState, Time, TraceEvent, TraceSink,
    Wc, WcStatus,
};
use ferroce_recording::*;
use ferroce_wire::{ImmDt, NakCode, Opcode, Psn, Qpn, RnrTimer, Syndrome};
use proptest::prelude::*;

fn header() -> Header {
    let host =
        |name: &str, addr: &str| HostRecord { name: name.to_owned(), addresses: vec![addr.parse().unwrap()] };
    let switches =
        vec![SwitchHeader { name: "tor".to_owned(), ports: vec!["left".to_owned(), "right".to_owned()] }];
    Header { switches, ..Header::new(vec![host("left", "10.0.0.1"), host("right", "fd00::2")], true) }
}

/// One record of every kind.
fn records() -> Vec<Record> {
    let (qp, psn) = (Qpn::new(0x17), Psn::new(0xFF_FFFF));
    let syndrome = Syndrome::RnrNak { timer: RnrTimer(12) };
    let wc = Wc {
        wr_id: u64::MAX,
        status: WcStatus::RemAccessErr,
        imm: Some(ImmDt([1, 2, 3, 4])),
        ..Wc::default()
    };
    let events = [
        TraceEvent::PostSend { qp, wr_id: 1 },
        TraceEvent::PostRecv { qp, wr_id: 2 },
        TraceEvent::Sent {
            qp,
            opcode: Opcode::RC_SEND_FIRST,
            psn,
            len: 1024,
            ack_request: true,
            syndrome: Some(Syndrome::Nak(NakCode::PsnSequence)),
            again: true,
        },
        TraceEvent::Received { qp, opcode: Opcode::RC_ACKNOWLEDGE, psn, len: 0, syndrome: Some(syndrome) },
        TraceEvent::Dropped { qp: None, why: DropReason::Icrc },
        TraceEvent::Duplicate { qp, psn },
        TraceEvent::Gap { qp, expected: psn, got: psn },
        TraceEvent::Refused { qp, psn, syndrome, denied: Some(AccessDenied::Key) },
        TraceEvent::GoBack { qp, cause: LossCause::Timeout, unacked: psn, resume: psn, retries_left: 3 },
        TraceEvent::Completed { qp, wc },
        TraceEvent::State { qp, from: QpState::Rts, to: QpState::Err },
        TraceEvent::Async(AsyncEvent::Qp(qp, QpEvent::Fatal)),
        TraceEvent::Registered { key: 0x100, addr: u64::MAX, len: 0, access: Access::all() },
        TraceEvent::Bound { key: 0x201, region: 0x100, qp, addr: 1, len: 2, access: Access::REMOTE_READ },
        TraceEvent::Invalidated { key: 0x201 },
        TraceEvent::Deregistered { key: 0x100 },
    ];
    let device =
        |(at, event)| Record { at: Time::from_nanos(at), host: at as u32 % 2, what: What::Device(event) };
    let mut records: Vec<Record> = (0..).zip(events).map(device).collect();
    let arrivals = vec![Arrived { at: Time::from_nanos(77), damaged: true }];
    let [src, dst] = ["10.0.0.1", "10.0.0.2"].map(|addr| addr.parse().unwrap());
    let bytes = (0..=255).collect();
    let packet = PacketRecord {
        src,
        dst,
        src_port: 0xC000,
        traffic_class: 2,
        ident: 9,
        bytes,
        to: Some(1),
        arrivals,
        under_way: false,
        local: false,
    };
    records.push(Record { at: Time::from_nanos(76), host: 0, what: What::Packet(packet) });
    let steps = [
        SwitchStep::Queued,
        SwitchStep::Dropped(DropCause::HeadroomFull),
        SwitchStep::AsksToPause,
        SwitchStep::GoesOn,
    ];
    for (port, step) in (0..).zip(steps) {
        let packet = (port < 2).then_some(PacketName { qp, psn });
        let record = SwitchRecord { switch: 0, port: port % 2, priority: 3, step, queued: 1 << 40, packet };
        records.push(Record { at: Time::from_nanos(80), host: 0, what: What::Switch(record) });
    }
    records
}

fn written(records: &[Record]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    records.iter().for_each(|record| writer.write(record).unwrap());
    writer.finish().unwrap()
}

fn read(file: &[u8]) -> (Vec<Record>, Option<Damage>) {
    let mut reader = Reader::open(file).unwrap();
    let mut records = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return (records, None),
            Err(damage) => return (records, Some(damage)),
        }
    }
}

#[test]
fn everything_comes_back() {
    let (back, damage) = read(&written(&records()));
    assert!(damage.is_none(), "{damage:?}");
    assert_eq!(back, records());
    assert_eq!(Reader::open(&written(&[])[..]).unwrap().header(), &header());
}

/// A file that several threads and devices write to, and that nobody closes.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_recording_that_nobody_ended_can_be_read_to_the_last_flush() {
    let file = Shared::default();
    let recording = Recording::new(file.clone(), &header()).unwrap();
    let [mut left, mut right] = [0, 1].map(|host| recording.sink(host));
    for number in 0..2_000 {
        let event = TraceEvent::PostSend { qp: Qpn::new(1), wr_id: number };
        [&mut left, &mut right][number as usize % 2].event(Time::from_micros(number), event);
    }
    let so_far = file.0.lock().unwrap().clone();
    let (back, damage) = read(&so_far);
    assert!(matches!(damage, Some(Damage::Cut)), "{damage:?}");
    assert!(back.len() > 1_800 && back.len() < 2_000, "{}", back.len());
    assert!(back.iter().enumerate().all(|(at, record)| record.host == at as u32 % 2));
    recording.finish().unwrap();
    assert_eq!(read(&file.0.lock().unwrap()).0.len(), 2_000);
}

#[test]
fn records_of_a_later_version_are_passed_over_and_later_files_refused() {
    let lines = |lines: &[&str]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
        out.finish().unwrap()
    };
    let head =
        r#"{"format":"ferroce-recording","version":1,"hosts":[{"name":"a","addresses":[]}],"mood":"good"}"#;
    let known = r#"{"t":5,"host":0,"device":{"PostSend":{"qp":1,"wr_id":7,"colour":"red"}}}"#;
    let event = r#"{"t":4,"host":0,"device":{"Dreamt":{"qp":1}}}"#;
    let file = lines(&[head, r#"{"t":4,"host":0,"weather":"rain"}"#, event, known]);
    let mut reader = Reader::open(&file[..]).unwrap();
    assert_eq!(reader.next_record().unwrap().unwrap().at, Time::from_nanos(5));
    assert_eq!((reader.next_record().unwrap(), reader.unknown()), (None, 2));

    let newer = lines(&[r#"{"format":"ferroce-recording","version":2}"#]);
    assert!(matches!(Reader::open(&newer[..]), Err(OpenError::Newer(2))));
    for other in [
        &b""[..],
        b"PK\x03\x04",
        &lines(&["{}"]),
        &lines(&["hello"]),
        &lines(&[r#"{"format":"x","version":1}"#]),
    ] {
        assert!(matches!(Reader::open(other), Err(OpenError::Unknown(_))));
    }
    let elsewhere = lines(&[head, r#"{"t":5,"host":1,"device":{"PostSend":{"qp":1,"wr_id":7}}}"#]);
    assert!(matches!(read(&elsewhere).1, Some(Damage::Mangled { line: 2, .. })));
    let endless = lines(&[head, &"x".repeat(MAX_LINE + 1)]);
    assert!(matches!(read(&endless).1, Some(Damage::Mangled { line: 2, what: "is too long" })));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_give_records_or_reasons(
        cut in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut file = written(&records());
        file.truncate(cut.index(file.len()) + 1);
        for (place, value) in changes {
            let at = place.index(file.len());
            file[at] = value;
        }
        if let Ok(mut reader) = Reader::open(&file[..]) {
            while let Ok(Some(_)) = reader.next_record() {}
        }
    }
}
