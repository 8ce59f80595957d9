//! A frame in a line of words.

use ferroce_engine::{LossCause, TraceEvent, WcStatus};
use ferroce_recording::{Record, SwitchRecord, SwitchStep, What};
use ferroce_wire::{NakCode, Opcode, Packet, Psn, Syndrome};

use super::Film;

/// What happens in a frame: who, and what.
pub fn tell(film: &Film, frame: &Record) -> String {
    if let What::Switch(record) = &frame.what {
        return switch(film, record);
    }
    let who = film.hosts.get(frame.host as usize).map_or("?", |host| host.name.as_str());
    let what = match &frame.what {
        What::Device(event) => device(event),
        What::Packet(packet) => {
            let name = Packet::parse(&packet.bytes).map_or("what is no packet".to_owned(), |packet| {
                let syndrome = packet.headers.aeth.map(|aeth| aeth.syndrome);
                label(packet.headers.bth.opcode, packet.headers.bth.psn, syndrome)
            });
            let fate = match &packet.arrivals[..] {
                [] if packet.under_way => "",
                [] => ": lost on its way",
                [one] if one.damaged => ": damaged on its way",
                [_] => "",
                _ => ": doubled on its way",
            };
            format!("{name} leaves{fate}")
        }
        What::Switch(_) => String::new(),
    };
    format!("{who} {what}")
}

/// A packet in a few words.
pub(crate) fn label(opcode: Opcode, psn: Psn, syndrome: Option<Syndrome>) -> String {
    let psn = short(psn);
    match syndrome {
        Some(Syndrome::RnrNak { .. }) => format!("RNR NAK {psn}"),
        Some(Syndrome::Nak(NakCode::PsnSequence)) => format!("NAK sequence {psn}"),
        Some(Syndrome::Nak(code)) => format!("NAK {} {psn}", refusal(code)),
        _ if opcode == Opcode::RC_ACKNOWLEDGE => format!("ACK {psn}"),
        _ => {
            let name = opcode.name();
            format!("{} {psn}", name.strip_prefix("RC_").unwrap_or(name))
        }
    }
}

/// What a NAK is about, in a word where there is one: the ladder has little room.
fn refusal(code: NakCode) -> String {
    match code {
        NakCode::RemoteAccess => "access".to_owned(),
        NakCode::InvalidRequest => "invalid".to_owned(),
        NakCode::RemoteOperational => "operation".to_owned(),
        other => other.to_string(),
    }
}

/// A PSN as it is shown: at least three hexadecimal digits.
pub(crate) fn short(psn: Psn) -> String {
    format!("{:03x}", psn.value())
}

fn switch(film: &Film, record: &SwitchRecord) -> String {
    let SwitchRecord { port, priority, step, queued, packet, .. } = record;
    let at = film.switches.get(record.switch as usize);
    let name = at.map_or("?", |switch| switch.name.as_str());
    let peer = at.and_then(|switch| switch.ports.get(usize::from(*port))).map_or("?", String::as_str);
    let packet = packet.map_or("a packet".to_owned(), |packet| format!("PSN {}", short(packet.psn)));
    let what = match step {
        SwitchStep::Queued => format!("queues {packet} to {peer}: {queued} bytes wait"),
        SwitchStep::Sent => format!("sends {packet} to {peer}: {queued} bytes wait"),
        SwitchStep::Marked => format!("marks {packet} to {peer}: congestion"),
        SwitchStep::Dropped(why) => format!("drops {packet} at the port to {peer}: {}", why.name()),
        SwitchStep::AsksToPause => format!("asks {peer} to pause priority {priority}"),
        SwitchStep::AsksToGoOn => format!("lets {peer} go on with priority {priority}"),
        SwitchStep::Pauses => format!("pauses priority {priority} to {peer}"),
        SwitchStep::GoesOn => format!("goes on with priority {priority} to {peer}"),
    };
    format!("{name} {what}")
}

fn device(event: &TraceEvent) -> String {
    match event {
        TraceEvent::PostSend { wr_id, .. } => format!("posts send request {wr_id}"),
        TraceEvent::PostRecv { wr_id, .. } => format!("posts receive {wr_id}"),
        TraceEvent::Sent { opcode, psn, syndrome, again, .. } => {
            let again = if *again { " again" } else { "" };
            format!("sends {}{again}", label(*opcode, *psn, *syndrome))
        }
        TraceEvent::Received { opcode, psn, syndrome, .. } => {
            format!("receives {}", label(*opcode, *psn, *syndrome))
        }
        TraceEvent::Dropped { why, .. } => format!("drops a packet: {why:?}"),
        TraceEvent::Duplicate { psn, .. } => format!("has had {} before", short(*psn)),
        TraceEvent::Gap { expected, got, .. } => {
            format!("finds a gap: {} came, {} is next", short(*got), short(*expected))
        }
        TraceEvent::Refused { psn, syndrome, denied, .. } => {
            let why = denied.map_or(String::new(), |denied| format!(": {denied}"));
            format!("refuses {} with {syndrome}{why}", short(*psn))
        }
        TraceEvent::Executed { msn, .. } => format!("has done message {msn}"),
        TraceEvent::Acknowledged { unacked, .. } => {
            format!("knows that all before {} arrived", short(*unacked))
        }
        TraceEvent::GoBack { cause, resume, retries_left, .. } => {
            format!(
                "goes back to {}: {}; {retries_left} retries left",
                short(*resume),
                cause_in_words(*cause)
            )
        }
        TraceEvent::RnrWait { until, .. } => format!("waits until {until} for a receive"),
        TraceEvent::Completed { wc, .. } if wc.status == WcStatus::Success => {
            format!("completes request {}", wc.wr_id)
        }
        TraceEvent::Completed { wc, .. } => format!("completes request {} with {:?}", wc.wr_id, wc.status),
        TraceEvent::State { from, to, .. } if from == to => {
            format!("queue pair is in {} when the recording begins", to.name())
        }
        TraceEvent::State { from, to, .. } => {
            format!("queue pair goes from {} to {}", from.name(), to.name())
        }
        TraceEvent::Async(event) => format!("raises {event:?}"),
        TraceEvent::Registered { key, addr, len, .. } => {
            format!("registers {len} bytes at {addr:#x}, key {key:#010x}")
        }
        TraceEvent::Bound { key, region, addr, len, .. } => {
            format!("binds window {key:#010x}: {len} bytes at {addr:#x} of region {region:#010x}")
        }
        TraceEvent::Invalidated { key } => format!("shuts {key:#010x}, which opens nothing now"),
        TraceEvent::Deregistered { key } => format!("gives up key {key:#010x}"),
        // What a newer engine tells.
        other => format!("{other:?}"),
    }
}

/// Why a requester goes back.
pub(crate) fn cause_in_words(cause: LossCause) -> &'static str {
    match cause {
        LossCause::SequenceNak => "the responder misses packets",
        LossCause::ImpliedNak => "a response is missing",
        LossCause::ReceiverNotReady => "the receiver was not ready",
        LossCause::Timeout => "no answer came in time",
    }
}
