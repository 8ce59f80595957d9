
// Sends messages as the student's requester says, loses some of the packets, and hears what the card there answers. What it
// is told of a gap stands before this.

use wire::{MTU, SEND_FIRST, SEND_LAST, SEND_MIDDLE, SEND_ONLY, Wire, byte, fail};

/// Packets of each message.
const MESSAGES: [usize; 8] = [1, 2, 3, 16, 1, 9, 30, 5];

const WINDOW: u32 = 16;

/// Every so many packets, one is lost on the way, when it is sent first.
const LOST: u32 = 7;

/// Packets, with those that are sent again, after which something must be wrong.
const MOST: u32 = 10_000;

/// Timeouts, likewise.
const MOST_TIMEOUTS: u32 = 100;

fn main() {
    let wire = Wire::open();
    // Message and place in it of every packet, from the first PSN on.
    let packets: Vec<(usize, usize)> =
        MESSAGES.iter().enumerate().flat_map(|(number, &count)| (0..count).map(move |at| (number, at))).collect();
    let mut requester = Requester::new(wire.psn, WINDOW);
    MESSAGES.iter().for_each(|&count| requester.post(count as u32));
    let (mut sent, mut lost, mut naks, mut timeouts, mut doomed) = (0, 0, 0, 0, LOST);
    while (requester.completed() as usize) < MESSAGES.len() {
        while let Some(psn) = requester.next_packet() {
            sent += 1;
            if sent > MOST {
                fail(format!("{sent} packets were sent, and messages are still missing"));
            }
            let index = psn.wrapping_sub(wire.psn) & 0xFF_FFFF;
            let Some(&(message, at)) = packets.get(index as usize) else {
                fail(format!("PSN {psn:#08x} belongs to no message"));
            };
            if index == doomed {
                (lost, doomed) = (lost + 1, doomed + LOST);
            } else {
                wire.send(&packet(&wire, psn, message, at));
            }
        }
        match wire.hear() {
            Some(answer) if answer.is_ack() => requester.on_ack(answer.psn),
            Some(answer) if answer.is_sequence_nak() => {
                naks += 1;
                told_of_gap(&mut requester, answer.psn);
            }
            Some(answer) => fail(format!("PSN {:#08x}, syndrome {:#04x}", answer.psn, answer.syndrome)),
            None => {
                timeouts += 1;
                if timeouts > MOST_TIMEOUTS {
                    fail("nothing is heard any more".to_owned());
                }
                requester.on_timeout();
            }
        }
    }
    println!("{} packets, {sent} sent, {lost} lost on the way, {naks} NAKs, {timeouts} timeouts", packets.len());
}

/// Packet number `at` of a message, with its ICRC.
fn packet(wire: &Wire, psn: u32, message: usize, at: usize) -> Vec<u8> {
    let count = MESSAGES[message];
    let opcode = match (at == 0, at + 1 == count) {
        (true, true) => SEND_ONLY,
        (true, false) => SEND_FIRST,
        (false, true) => SEND_LAST,
        (false, false) => SEND_MIDDLE,
    };
    let payload: Vec<u8> = (at * MTU..(at + 1) * MTU).map(|place| byte(message, place)).collect();
    // The last of a message, and every fourth, must be answered.
    let mut packet = wire.packet(opcode, psn, at + 1 == count || at % 4 == 3, &payload);
    packet.extend_from_slice(&wire.icrc(&packet));
    packet
}
