//! A run as a recording.

use ferroce_recording::{
    Arrived, Header, HostRecord, PacketRecord, Record, SwitchHeader, SwitchRecord, What as Recorded,
};

use crate::fabric::Fabric;
use crate::log::{Entry, Incident, Log, Sent, Watch, What};
use crate::node::Node;

impl Log {
    /// What happened so far, as it stands in recordings.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.entries.iter().map(Entry::record)
    }
}

impl<T: Watch> Fabric<T> {
    /// The header of a recording of this fabric: its hosts and switches in their order.
    pub fn header(&self) -> Header {
        let host = |id| {
            let config = self.device(id).config();
            HostRecord { name: config.name.clone(), addresses: config.gids.clone() }
        };
        let switch = |id| SwitchHeader {
            name: self.switch(id).name.clone(),
            ports: self.ports(id).map(|(peer, _)| self.name(peer).to_owned()).collect(),
        };
        let switches = self.switches().map(switch).collect();
        Header { switches, ..Header::new(self.hosts().map(host).collect(), true) }
    }

    /// What a host or switch is called.
    pub fn name(&self, node: Node) -> &str {
        match node {
            Node::Host(host) => &self.device(host).config().name,
            Node::Switch(switch) => &self.switch(switch).name,
        }
    }
}

impl Entry {
    /// It as it stands in recordings; hosts and switches are those of the fabric's [`header`](Fabric::header).
    pub fn record(&self) -> Record {
        let what = match &self.what {
            What::Packet(sent) => Recorded::Packet(packet(sent)),
            What::Device(event) => Recorded::Device(*event),
            What::Switch(incident) => Recorded::Switch(switch(incident)),
        };
        Record { at: self.at, host: self.host.0 as u32, what }
    }
}

fn switch(incident: &Incident) -> SwitchRecord {
    let Incident { switch, port, priority, step, queued, packet } = *incident;
    SwitchRecord { switch: switch.0 as u32, port, priority, step, queued, packet }
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
        under_way: sent.under_way,
        local: false,
    }
}
