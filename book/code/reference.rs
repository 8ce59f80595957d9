//! Tables and figures of the reference, from the tables by which packets are read and queue pairs are led.

use ferroce_engine::{AttrMask, QpState, QpType, transitions};
use ferroce_visualizer::drawing::{Anchor, Drawing};
use ferroce_wire::cm::RejectReason;
use ferroce_wire::decode::{Field, fields};
use ferroce_wire::{NakCode, Opcode, Operation, Packet, Part, PayloadRule, Service, Syndrome};

/// The packets of the figure: one of each kind that looks different.
const SHOWN: [Opcode; 11] = [
    Opcode::RC_SEND_ONLY,
    Opcode::RC_SEND_ONLY_IMM,
    Opcode::RC_WRITE_FIRST,
    Opcode::RC_WRITE_MIDDLE,
    Opcode::RC_READ_REQUEST,
    Opcode::RC_READ_RESP_ONLY,
    Opcode::RC_ACKNOWLEDGE,
    Opcode::RC_COMPARE_SWAP,
    Opcode::RC_ATOMIC_ACK,
    Opcode::UD_SEND_ONLY,
    Opcode::CNP,
];

/// Headers of the commonest packets, one behind the other.
pub(crate) fn packets() -> String {
    const WIDTH: u32 = 670;
    const NAMES: u32 = 210;
    const STEP: u32 = 42;
    const BOX: u32 = 30;
    let mut drawing = Drawing::new(WIDTH);
    for (row, opcode) in (0..).zip(SHOWN) {
        let y = 8 + row * STEP;
        drawing.text((0, y + 20), Anchor::Start, opcode.name());
        let mut x = NAMES;
        for (words, width) in boxes(opcode) {
            drawing.box_((x, y), (width, BOX));
            drawing.text((x + width / 2, y + 20), Anchor::Middle, &words);
            x += width + 3;
        }
    }
    let height = 8 + SHOWN.len() as u32 * STEP;
    let lines: Vec<String> = SHOWN.iter().map(|&opcode| in_words(opcode)).collect();
    drawing.finish(height, "What packets are made of", &lines.join("; "))
}

/// The parts of a packet with their widths.
fn boxes(opcode: Opcode) -> Vec<(String, u32)> {
    let headers = [Part::Bth].into_iter().chain(opcode.headers().iter());
    let mut boxes: Vec<(String, u32)> = headers
        .map(|part| {
            let words = format!("{part} {}", part.header_len());
            let width = words.len() as u32 * 8 + 10;
            (words, width)
        })
        .collect();
    match opcode.payload_rule() {
        PayloadRule::None => {}
        PayloadRule::Fixed(bytes) => boxes.push((format!("{bytes} bytes"), 90)),
        PayloadRule::ExactlyMtu => boxes.push(("one path MTU".to_owned(), 120)),
        PayloadRule::UpToMtu { .. } => boxes.push(("payload, pad".to_owned(), 120)),
    }
    boxes.push(("ICRC 4".to_owned(), 62));
    boxes
}

fn in_words(opcode: Opcode) -> String {
    let parts: Vec<String> = boxes(opcode).into_iter().map(|(words, _)| words).collect();
    format!("{}: {}", opcode.name(), parts.join(", "))
}

/// Opcodes, headers and syndromes.
pub(crate) fn wire() -> String {
    format!("{}\n## Headers\n\n{}\n## Syndromes\n\n{}", opcodes(), headers(), syndromes())
}

fn opcodes() -> String {
    let mut text = "| operation | RC | UC | UD | XRC | headers behind the BTH | payload |\n".to_owned();
    text += "| --- | --- | --- | --- | --- | --- | --- |\n";
    let mut operations: Vec<Operation> = Opcode::ALL.iter().map(|opcode| opcode.operation()).collect();
    operations.dedup();
    for operation in operations {
        let of = |service| Opcode::new(service, operation);
        let codes = [Service::Rc, Service::Uc, Service::Ud, Service::Xrc].map(of);
        // Reliable datagrams, and what is no operation of a queue pair, are not for this table.
        let Some(opcode) = codes.into_iter().flatten().next() else { continue };
        let cells = codes.map(|code| code.map_or(String::new(), |code| format!("`{:#04x}`", code.as_u8())));
        let own: Vec<&str> = opcode.headers().iter().map(Part::name).collect();
        let payload = match opcode.payload_rule() {
            PayloadRule::None => "none".to_owned(),
            PayloadRule::Fixed(bytes) => format!("{bytes} bytes"),
            PayloadRule::ExactlyMtu => "one path MTU".to_owned(),
            PayloadRule::UpToMtu { min: 0 } => "up to one path MTU".to_owned(),
            PayloadRule::UpToMtu { min } => format!("{min} byte to one path MTU"),
        };
        let name = opcode.name().split_once('_').map_or("", |(_, name)| name).replace('_', " ");
        text += &format!("| {name} | {} | {} | {payload} |\n", cells.join(" | "), own.join(", "));
    }
    text
}

/// Every header that there is, field by field.
fn headers() -> String {
    let mut text = String::new();
    for part in [Part::Bth].into_iter().chain(Part::EXTENSIONS) {
        let has = |opcode: &&Opcode| part == Part::Bth || opcode.headers().contains(part);
        let Some(opcode) = Opcode::ALL.iter().find(has) else { continue };
        let found: Vec<Field> = fields_of(*opcode).into_iter().filter(|field| field.part == part).collect();
        let begin = found.first().map_or(0, |field| field.byte);
        text += &format!("**{part}**, {} bytes\n\n", part.header_len());
        text += "| byte | bits | field |\n| --- | --- | --- |\n";
        for field in found {
            let byte = field.byte - begin;
            let last = byte + (field.bit + field.bits).div_ceil(8) - 1;
            let bytes = if last == byte { byte.to_string() } else { format!("{byte} to {last}") };
            let bits = if field.bits % 8 == 0 { field.bits.to_string() } else { part_of_byte(&field) };
            text += &format!("| {bytes} | {bits} | {} |\n", field.name);
        }
        text.push('\n');
    }
    text
}

/// How many bits a field has, and which if it is not whole bytes; bit 7 is the most significant.
fn part_of_byte(field: &Field) -> String {
    let (high, low) = (7 - field.bit, (8 - field.bit).checked_sub(field.bits));
    match low {
        Some(low) if low == high => format!("bit {high}"),
        Some(low) => format!("{}: bits {high} to {low}", field.bits),
        None => field.bits.to_string(),
    }
}

/// The fields of a packet with this opcode and nothing else in it.
fn fields_of(opcode: Opcode) -> Vec<Field> {
    let mut bytes = vec![0; opcode.header_len() + 4];
    bytes[0] = opcode.as_u8();
    let packet = Packet::parse(&bytes).expect("headers and an ICRC are a packet");
    let mut found = Vec::new();
    fields(&packet, &mut |field| found.push(field)).expect("it was parsed");
    found
}

fn syndromes() -> String {
    let naks = (0..=4).map(|code| 0x60 | code);
    let rows = naks.map(|byte| match Syndrome::from_u8(byte) {
        Syndrome::Nak(code) => format!("| `{byte:#04x}` | NAK | {} |\n", meaning(code)),
        other => format!("| `{byte:#04x}` | {other} | |\n"),
    });
    let mut text = "| byte | | means |\n| --- | --- | --- |\n".to_owned();
    text += "| `0x00` to `0x1f` | ACK | everything up to the PSN has arrived; the lower five bits are credits, 31 for none |\n";
    text +=
        "| `0x20` to `0x3f` | RNR NAK | no receive is posted; the lower five bits say how long to wait |\n";
    text + &rows.collect::<String>()
}

fn meaning(code: NakCode) -> &'static str {
    match code {
        NakCode::PsnSequence => "PSN sequence error: send again from the PSN that stands in it",
        NakCode::InvalidRequest => "invalid request: what was sent cannot be, or not here",
        NakCode::RemoteAccess => "remote access error: key, address, length or right",
        NakCode::RemoteOperational => "remote operational error: the responder cannot carry it out",
        _ => "for reliable datagrams only",
    }
}

/// Transitions of queue pairs.
pub(crate) fn queue_pairs() -> String {
    let mut text = String::new();
    for kind in [QpType::Rc, QpType::Uc, QpType::Ud] {
        text += &format!(
            "**{}**\n\n| from | to | must have | may have |\n| --- | --- | --- | --- |\n",
            kind.name()
        );
        // To RESET and to ERR there are ways from everywhere, and nothing goes with them.
        for way in transitions(kind).filter(|way| ![QpState::Reset, QpState::Err].contains(&way.to)) {
            let cells = [way.required, way.optional].map(names);
            text += &format!("| {} | {} | {} | {} |\n", way.from.name(), way.to.name(), cells[0], cells[1]);
        }
        text.push('\n');
    }
    text
}

fn names(mask: AttrMask) -> String {
    mask.iter_names().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Why connections are rejected.
pub(crate) fn reasons() -> String {
    let rows = RejectReason::ALL.iter().map(|reason| format!("| {} | {} |\n", reason.0, reason.meaning()));
    "| number | means |\n| --- | --- |\n".to_owned() + &rows.collect::<String>()
}
