//! Hears frames, and says what the student's functions make of them.

mod interop;

use interop::{Settings, explain, mend, read};
use talk::{Talk, numbers, unhex};

fn main() {
    Talk::new().answer(|line| {
        let (call, rest) = line.split_once(' ').unwrap_or((line, ""));
        match call {
            "read" => read(&unhex(rest)).map_or("None".to_owned(), |packet| {
                let syndrome = packet.syndrome.map_or("None".to_owned(), |byte| format!("Some({byte:#04x})"));
                let (opcode, dest_qp, psn) = (packet.opcode, packet.dest_qp, packet.psn);
                format!("opcode {opcode:#04x}, dest_qp {dest_qp:#x}, psn {psn:#08x}, syndrome {syndrome}")
            }),
            "explain" => {
                let frames: Vec<Vec<u8>> = rest.split(' ').map(unhex).collect();
                format!("{:?}", explain(&frames))
            }
            _ => {
                let mut words = rest.splitn(4, ' ');
                let head: Vec<&str> = words.by_ref().take(3).collect();
                let head = numbers(&head.join(" "));
                let settings = Settings { first_psn: head[0] as u32, path_mtu: head[1] as u32, rnr_retry: head[2] as u8 };
                let frames: Vec<Vec<u8>> = words.next().unwrap_or_default().split(' ').map(unhex).collect();
                let Settings { first_psn, path_mtu, rnr_retry } = mend(settings, &frames);
                format!("{first_psn} {path_mtu} {rnr_retry}")
            }
        }
    });
}
