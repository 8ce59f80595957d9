//! A run as a recording.

use ferroce_recording::{Arrived, PacketRecord, Record};

use crate::log::{Entry, Log, Sent, What};

impl Log {
    /// What happened so far, as it stands in recordings; the hosts of the header are those of the fabric, in order.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.entries.iter().filter_map(record)
    }
}

/// What a switch did to a packet shows in the packet's arrivals.
fn record(entry: &Entry) -> Option<Record> {
    let what = match &entry.what {
        What::Packet(sent) => ferroce_recording::What::Packet(packet(sent)),
        What::Device(event) => ferroce_recording::What::Device(*event),
        What::Switch(_) => return None,
    };
    Some(Record { at: entry.at, host: entry.host.0 as u32, what })
}

fn packet(sent: &Sent) -> PacketRecord {
    let arrivals = sent.arrivals.iter();
    PacketRecord {
        src: sent.flow.src,
        dst: sent.flow.dst,
        src_port: sent.flow.src_port,
        traffic_class: sent.flow.traffic_class,
        ident: sent.ident,
        bytes: sent.bytes.to_vec(),
        to: sent.to.map(|host| host.0 as u32),
        arrivals: arrivals.map(|arrival| Arrived { at: arrival.at, damaged: arrival.damaged }).collect(),
    }
}
