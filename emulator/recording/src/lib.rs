//! Recordings: what happened in a run, simulated or real, in one file.
//!
//! # The format
//!
//! A recording is text in UTF-8, compressed with gzip (RFC 1952): `zcat FILE` shows it, `zcat FILE | jq` takes it
//! apart. Each line is one JSON object. The first is the [`Header`]; its `format` is `"ferroce-recording"` and its
//! `version` a number. Each further line is a [`Record`]: when (`t`, nanoseconds), where (`host`, an index into the
//! header's `hosts`) and what, under a name of its own: a `packet` that was sent, something that a `device` did, or
//! that a `switch` did. The names and fields are those of [`Record`], [`PacketRecord`],
//! [`TraceEvent`](ferroce_engine::TraceEvent) and [`SwitchRecord`].
//!
//! | field of the header | |
//! | --- | --- |
//! | `format` | `"ferroce-recording"` |
//! | `version` | [`VERSION`]; a reader refuses what is newer |
//! | `hosts` | `name` and `addresses` of each |
//! | `switches` | `name` and `ports` of each, if there are any: what every port is joined to |
//! | `simulated` | whether times count from the start of a simulation; otherwise from the opening of the NIC |
//! | `began` | nanoseconds since 1970 at time 0, if known |
//! | `scenario` | what makes the same run again, if it can be made again |
//!
//! A recording of a NIC on a real network is of one end. Its first host is the NIC, the last one has no addresses and
//! stands for everybody else: of them there are only packets, whose addresses tell them apart. A packet arrives when the
//! NIC has seen it. Changes of state from a state to itself say what the NIC was like when the recording began.
//!
//! Readers skip records whose name they do not know, and fields as well, so that a program and a recording may
//! differ in age. A change that would make an old reader err raises the version.
//!
//! The [`Writer`] hands its text to the file every few kilobytes with a flush of the compressor, so a file whose
//! writer was killed can be read up to there. The [`Reader`] takes files from strangers: line length, number of
//! records and bytes are bounded, and whatever is wrong ends the file with a [`Damage`] that says what.

mod read;
mod record;
mod sink;
mod switch;
mod write;

pub use read::{Damage, MAX_LINE, MAX_RECORDS, OpenError, Reader};
pub use record::{Arrived, FORMAT, Header, HostRecord, PacketRecord, Record, VERSION, What};
pub use sink::{Recording, Sink};
pub use switch::{DropCause, PacketName, SwitchHeader, SwitchRecord, SwitchStep};
pub use write::Writer;
