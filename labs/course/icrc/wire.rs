//! Sends packets with the ICRC of the student's making, and says what the card there answers.

mod icrc;

use wire::{SEND_ONLY, Wire, byte, fail};

/// Bytes of the messages: all pads, and a whole packet.
const SIZES: [usize; 5] = [1, 2, 3, 4, 1024];

fn main() {
    let wire = Wire::open();
    for (number, size) in SIZES.into_iter().enumerate() {
        let psn = wire.psn_after(number as u32);
        let payload: Vec<u8> = (0..size).map(|at| byte(number, at)).collect();
        let mut packet = wire.packet(SEND_ONLY, psn, true, &payload);
        packet.extend_from_slice(&icrc::icrc_ipv4(&wire.datagram(&packet)));
        wire.send(&packet);
        match (0..25).find_map(|_| wire.hear()) {
            Some(answer) if answer.is_ack() && answer.psn == psn => println!("message {number}: acknowledged"),
            Some(answer) => fail(format!("message {number}: PSN {:#08x}, syndrome {:#04x}", answer.psn, answer.syndrome)),
            None => fail(format!("message {number}: no answer, so the card took the ICRC for wrong")),
        }
    }
}
