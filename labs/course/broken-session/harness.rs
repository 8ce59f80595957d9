//! Hears captures, and says what the student's function makes of them.

mod session;

use session::{Kind, Packet, diagnose};
use talk::{Talk, numbers};

const KINDS: [Kind; 10] = [
    Kind::SendFirst,
    Kind::SendMiddle,
    Kind::SendLast,
    Kind::SendOnly,
    Kind::WriteOnly,
    Kind::Ack,
    Kind::RnrNak,
    Kind::SequenceNak,
    Kind::InvalidRequestNak,
    Kind::RemoteAccessNak,
];

fn main() {
    Talk::new().answer(|line| {
        let packets = numbers(line);
        let packets = packets.chunks_exact(5).map(|packet| Packet {
            to_responder: packet[0] == 1,
            kind: KINDS[packet[1] as usize],
            psn: packet[2] as u32,
            payload: packet[3] as u32,
            icrc_is_right: packet[4] == 1,
        });
        format!("{:?}", diagnose(&packets.collect::<Vec<_>>()))
    });
}
