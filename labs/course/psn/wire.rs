//! Answers a card that is really there as the student's responder says, and loses some of its packets.

mod responder;

use responder::{Answer, Responder};
use wire::{MTU, SEND_LAST, SEND_ONLY, Wire, byte, fail};

/// Packets of each message.
const MESSAGES: [usize; 8] = [1, 2, 3, 16, 1, 9, 30, 5];

/// Every so many packets, one is lost on the way, when it comes first.
const LOST: u32 = 7;

/// So often nothing comes, a fifth of a second each time, before something must be wrong.
const PATIENCE: u32 = 50;

/// The same when all has come: the last acknowledgement may be asked for again.
const AFTERWARDS: u32 = 5;

fn main() {
    let wire = Wire::open();
    let packets: Vec<(usize, usize)> =
        MESSAGES.iter().enumerate().flat_map(|(number, &count)| (0..count).map(move |at| (number, at))).collect();
    let mut responder = Responder::new(wire.psn);
    let (mut came, mut lost, mut naks, mut silence, mut doomed) = (0, 0, 0, 0, LOST);
    // Packets and messages that were carried out.
    let (mut done, mut messages) = (0, 0);
    while silence < if done == packets.len() { AFTERWARDS } else { PATIENCE } {
        let Some(request) = wire.request() else {
            silence += 1;
            continue;
        };
        (came, silence) = (came + 1, 0);
        if request.psn == wire.psn_after(doomed) {
            (lost, doomed) = (lost + 1, doomed + LOST);
            continue;
        }
        let answer = responder.on_request(request.psn, request.ask);
        if let Answer::Execute | Answer::ExecuteAndAck(_) = answer {
            let Some(&(message, at)) = packets.get(done).filter(|_| request.psn == wire.psn_after(done as u32)) else {
                fail(format!("PSN {:#08x} is carried out; {:#08x} is next", request.psn, wire.psn_after(done as u32)));
            };
            let is_right = (at * MTU..(at + 1) * MTU).map(|place| byte(message, place)).eq(request.payload.iter().copied());
            if !is_right {
                fail(format!("PSN {:#08x} has other bytes than the card was given", request.psn));
            }
            done += 1;
            messages += u32::from(matches!(request.opcode, SEND_LAST | SEND_ONLY));
        }
        match answer {
            Answer::ExecuteAndAck(psn) | Answer::Ack(psn) => wire.acknowledge(psn, 0x1F, messages),
            Answer::Nak(psn) => {
                naks += 1;
                wire.acknowledge(psn, 0x60, messages);
            }
            Answer::Execute | Answer::Drop => {}
        }
    }
    if done < packets.len() {
        fail(format!("{done} of {} packets were carried out, and then nothing came", packets.len()));
    }
    println!("{done} packets, {came} came, {lost} lost on the way, {naks} NAKs");
}
