//! Compares a packet with what it must be, field by field, and names the first that is wrong.

use ferroce_wire::decode::{Field, fields};
use ferroce_wire::{Bth, Headers, ICRC_LEN, Opcode, Part};

use super::icrc::recognise;
use super::message::Message;
use super::rules::{FORMAT, LENGTH, rule_of};
use super::{BTH, PAD, RETH};
use crate::failure::{Row, Wrong};
use crate::talk::unhex;

/// Bytes shown of a packet, around what is wrong with it.
const WINDOW: usize = 20;

/// Most bytes an answer can sensibly have: headers, payload, pad and ICRC.
const LONGEST: usize = 4096;

pub(super) fn judge(message: &Message, answer: &str) -> Result<(), Wrong> {
    // More than a packet can have is not looked at.
    let Some(seen) = (answer.len() <= 2 * LONGEST).then(|| unhex(answer)) else {
        let text = "The answer is longer than any packet of this lab.";
        return Err(Wrong::new(&FORMAT, vec![Row::text("Seen", text)]));
    };
    let packet = message.packet();
    let mut expected = vec![0; packet.wire_len()];
    packet.emit(&mut expected).expect("a buffer of the right length");

    let mut first_wrong = None;
    fields(&packet, &mut |field| {
        if first_wrong.is_none() && is_checked(field.part, message.step) && is_wrong(&field, &expected, &seen)
        {
            first_wrong = Some(field);
        }
    })
    .expect("the headers are those of the opcode");
    match first_wrong {
        Some(field) => Err(tell(message, &field, &expected, &seen)),
        None if is_checked(Part::Icrc, message.step) && seen.len() > expected.len() => {
            let text = format!("{} bytes after the ICRC, which ends the packet", seen.len() - expected.len());
            Err(Wrong::new(&LENGTH, vec![Row::text("Seen", &text)]))
        }
        None => Ok(()),
    }
}

/// Whether a step looks at this part of the packet.
fn is_checked(part: Part, step: &str) -> bool {
    match step {
        BTH => part == Part::Bth,
        PAD | RETH => part != Part::Icrc,
        _ => true,
    }
}

/// How many bytes of a packet of `len` bytes a step looks at.
fn checked_len(step: &str, len: usize) -> usize {
    match step {
        BTH => Bth::LEN,
        PAD | RETH => len - ICRC_LEN,
        _ => len,
    }
}

fn is_wrong(field: &Field, expected: &[u8], seen: &[u8]) -> bool {
    match seen.get(field.bytes()) {
        None => true,
        Some(_) if field.bits <= 64 => bits(field, seen) != bits(field, expected),
        Some(bytes) => bytes != &expected[field.bytes()],
    }
}

/// The value of a field of at most 64 bits that lies within `bytes`.
fn bits(field: &Field, bytes: &[u8]) -> u64 {
    let first = field.byte * 8 + field.bit;
    (first..first + field.bits).fold(0, |value, i| value << 1 | u64::from(bytes[i / 8] >> (7 - i % 8) & 1))
}

fn tell(message: &Message, field: &Field, expected: &[u8], seen: &[u8]) -> Wrong {
    let place = match (field.bits, field.bytes()) {
        (1, bytes) => format!("byte {} bit {}", bytes.start, 7 - field.bit),
        (bits @ 2..8, bytes) => {
            format!("byte {} bits {}-{}", bytes.start, 7 - field.bit, 8 - field.bit - bits)
        }
        (_, bytes) if bytes.len() == 1 => format!("byte {}", bytes.start),
        (_, bytes) => format!("bytes {}-{}", bytes.start, bytes.end - 1),
    };
    let name = match field.part {
        Part::Payload | Part::Pad | Part::Icrc => field.part.to_string(),
        part => format!("{part} {}", field.name),
    };
    let meaning = match field.meaning.to_string() {
        words if words.is_empty() => words,
        words => format!("  ({words})"),
    };
    let mut rows = vec![Row::exact("First", [format!("{name}, {place}, is wrong")])];
    let (wrong_at, remark);
    if seen.len() < field.bytes().end {
        wrong_at = seen.len();
        remark = None;
        let lines = [
            format!("expected  {}{meaning}", value(field, expected)),
            format!("seen      nothing: the packet ends after {} bytes", seen.len()),
        ];
        rows.push(Row::exact("", lines));
    } else {
        let within = field.bytes().find(|&at| expected[at] != seen[at]);
        wrong_at = within.unwrap_or(field.byte);
        remark = explain(message, field, expected, seen);
        if field.bits <= 64 {
            let lines = [
                format!("expected  {}{meaning}", value(field, expected)),
                format!("seen      {}{}", value(field, seen), opcode_meaning(field, seen)),
            ];
            rows.push(Row::exact("", lines));
        } else {
            rows.push(Row::exact("", [format!("the first wrong byte is byte {wrong_at}")]));
        }
    }
    rows.extend(remark.map(|remark| Row::text("Why?", &remark)));
    let end = checked_len(message.step, expected.len());
    rows.push(dump(&expected[..end], &seen[..end.min(seen.len())], wrong_at));
    Wrong::new(rule_of(field), rows)
}

fn value(field: &Field, bytes: &[u8]) -> String {
    match field.bits {
        1..8 => bits(field, bytes).to_string(),
        bits_of_it @ 8..=64 => format!("{:#0width$x}", bits(field, bytes), width = 2 + bits_of_it / 4),
        _ => format!("{} bytes", field.bits / 8),
    }
}

/// The name of the opcode that was seen, if that is the field.
fn opcode_meaning(field: &Field, seen: &[u8]) -> String {
    let is_opcode = (field.part, field.byte) == (Part::Bth, 0);
    let opcode = if is_opcode { Opcode::from_u8(seen[0]) } else { None };
    opcode.map_or(String::new(), |opcode| format!("  ({opcode})"))
}

/// What the mistake looks like, if it looks like one that is often made.
fn explain(message: &Message, field: &Field, expected: &[u8], seen: &[u8]) -> Option<String> {
    if field.part == Part::Icrc {
        return recognise(message, expected, seen);
    }
    let (wanted, got) = (&expected[field.bytes()], &seen[field.bytes()]);
    let is_whole = field.bit == 0 && field.bits.is_multiple_of(8) && field.bits > 8;
    if is_whole && wanted.iter().rev().eq(got) {
        return Some(
            "These are the right bytes in reverse order. The network's order is big-endian.".to_owned(),
        );
    }
    if (field.part, field.name) == (Part::Reth, "DMALen") {
        let padded = message.payload.len().next_multiple_of(4) as u64;
        return (bits(field, seen) == padded).then(|| "This counts the pad as well.".to_owned());
    }
    if field.part == Part::Payload && seen.len() >= expected.len() {
        let at = Headers::len(&message.headers);
        let shifted = (0..seen.len()).find(|&i| i != at && seen[i..].starts_with(&message.payload));
        return shifted
            .map(|i| format!("The payload is there, but begins at byte {i} instead of byte {at}."));
    }
    None
}

/// The bytes around byte `at`, with a mark under those that differ.
fn dump(expected: &[u8], seen: &[u8], at: usize) -> Row {
    let start = at.saturating_sub(WINDOW / 2).min(expected.len().saturating_sub(WINDOW));
    let hex = |bytes: &[u8]| {
        let shown = bytes.iter().skip(start).take(WINDOW);
        shown.map(|byte| format!(" {byte:02x}")).collect::<String>()
    };
    let marks = (start..start + WINDOW).map(|i| match (expected.get(i), seen.get(i)) {
        (Some(a), Some(b)) if a == b => "   ",
        (None, _) => "   ",
        _ => " ^^",
    });
    let marks = marks.collect::<String>();
    let lines = [
        format!("from {start:<4}{}", hex(expected)),
        format!("seen     {}", hex(seen)),
        format!("         {}", marks.trim_end()),
    ];
    Row::exact("Bytes", lines)
}
