//! Reads messages, one a line, and writes the packets that the student's function makes of them.

mod packet;

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;

use packet::{Flow, Message, Operation};

/// The last panic's message and place.
static PANIC: Mutex<String> = Mutex::new(String::new());

fn main() {
    panic::set_hook(Box::new(|info| {
        let text = info.to_string().replace('\n', " ");
        *PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = text;
    }));
    let mut lines = io::stdin().lock().lines().map(|line| line.expect("the questions can be read"));
    let token = lines.next().expect("a token comes first");
    for (number, line) in lines.enumerate() {
        let message = read(&line).expect("every line is a message");
        let answer = match panic::catch_unwind(AssertUnwindSafe(|| packet::packet(&message))) {
            Ok(packet) => format!("ok {}", hex(&packet)),
            Err(_) => format!("panic {}", PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner())),
        };
        // On a line of its own, whatever the student's code has printed.
        let mut out = io::stdout().lock();
        let written = write!(out, "\n{token} {number} {answer}\n").and_then(|()| out.flush());
        written.expect("the answers can be written");
    }
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
