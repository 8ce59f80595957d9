//! Sends a SEND and a WRITE of the student's making, and says what the card there answers.

mod packet;

use packet::{Flow, Message, Operation, packet as make};
use wire::{PORT, Wire, byte, fail};

/// Bytes of the messages: with a pad, and without.
const SIZES: [usize; 2] = [13, 512];

fn main() {
    let wire = Wire::open();
    let [va, rkey] = wire.rest[..] else { fail("address and key of the memory there".to_owned()) };
    let operations = [Operation::Send, Operation::Write { va, rkey: rkey as u32 }];
    for (number, operation) in operations.into_iter().enumerate() {
        let psn = wire.psn_after(number as u32);
        let flow = Flow { src: wire.from.octets(), dst: wire.to.octets(), identification: 0, src_port: PORT };
        let payload = (0..SIZES[number]).map(|at| byte(number, at)).collect();
        let (pkey, dest_qp) = (0xFFFF, wire.qp);
        let (solicited, migrated, ack_request) = (false, true, true);
        wire.send(&make(&Message { operation, solicited, migrated, pkey, dest_qp, ack_request, psn, payload, flow }));
        match (0..25).find_map(|_| wire.hear()) {
            Some(answer) if answer.is_ack() && answer.psn == psn => println!("message {number}: acknowledged"),
            Some(answer) => fail(format!("message {number}: PSN {:#08x}, syndrome {:#04x}", answer.psn, answer.syndrome)),
            None => fail(format!("message {number}: no answer. Is the ICRC right, and the queue pair?")),
        }
    }
}
