//! Asks the student's functions, one call a line.

mod icrc;

use talk::{Talk, hex, unhex};

fn main() {
    Talk::new().answer(|line| {
        let (call, bytes) = line.split_once(' ').unwrap_or((line, ""));
        let bytes = unhex(bytes);
        match call {
            "crc" => format!("{:#010x}", icrc::crc32(&bytes)),
            "ipv4" => hex(&icrc::icrc_ipv4(&bytes)),
            "ipv6" => hex(&icrc::icrc_ipv6(&bytes)),
            _ => icrc::is_right(&bytes).to_string(),
        }
    });
}
