//! Hears messages, and says the packets that the student's function makes of them.

mod packet;

use packet::{Flow, Message, Operation};
use talk::{Talk, hex, unhex};

fn main() {
    Talk::new().answer(|line| hex(&packet::packet(&read(line).expect("every line is a message"))));
}

/// `send` or `write VA RKEY`, then the fields in the order below.
fn read(line: &str) -> Option<Message> {
    let mut words = line.split(' ');
    let operation = match words.next()? {
        "send" => Operation::Send,
        _ => Operation::Write { va: words.next()?.parse().ok()?, rkey: words.next()?.parse().ok()? },
    };
    Some(Message {
        operation,
        solicited: words.next()? == "1",
        migrated: words.next()? == "1",
        pkey: words.next()?.parse().ok()?,
        dest_qp: words.next()?.parse().ok()?,
        ack_request: words.next()? == "1",
        psn: words.next()?.parse().ok()?,
        flow: Flow {
            src: words.next()?.parse::<u32>().ok()?.to_be_bytes(),
            dst: words.next()?.parse::<u32>().ok()?.to_be_bytes(),
            identification: words.next()?.parse().ok()?,
            src_port: words.next()?.parse().ok()?,
        },
        payload: unhex(words.next()?),
    })
}
