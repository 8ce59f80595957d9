//! The rules that a packet follows, field by field.

use ferroce_wire::Part;
use ferroce_wire::decode::Field;

use crate::failure::{Rule, rules};

const BTH_SOURCE: &str = "IBTA volume 1, 9.2";
const RETH_SOURCE: &str = "IBTA volume 1, 9.3";

const ICRC_SOURCE: &str = "annex A17, IBTA volume 1, 7.8";
const LAB: &str = "this lab";

rules! {
    OPCODE "bth.opcode" BTH_SOURCE:
        "Byte 0 says what the packet is: transport service in the upper three bits, operation in the lower \
         five. RC SEND Only is 0x04, RC RDMA WRITE Only is 0x0a.";
    SOLICITED "bth.se" BTH_SOURCE:
        "SE, the highest bit of byte 1, asks for a solicited event at the receiver.";
    MIGRATED "bth.migreq" BTH_SOURCE:
        "MigReq, bit 6 of byte 1, is 1 when the path migration state of the sender is 'migrated'.";
    PAD_COUNT "bth.padcnt" BTH_SOURCE:
        "PadCnt, bits 5 and 4 of byte 1, is the number of zero bytes (0 to 3) that fill the payload up to a \
         multiple of four.";
    VERSION "bth.tver" BTH_SOURCE:
        "TVer, the lower four bits of byte 1, is the version of the transport header: 0.";
    PKEY "bth.pkey" BTH_SOURCE:
        "Bytes 2 and 3 are the partition key of the sender, big-endian, membership bit included.";
    CONGESTION "bth.congestion" BTH_SOURCE:
        "FECN and BECN in byte 4 are 0: RoCEv2 marks congestion in the IP header, and BECN is for CNPs.";
    DEST_QP "bth.destqp" BTH_SOURCE:
        "Bytes 5 to 7 are the number of the queue pair that shall have the packet: 24 bits, big-endian.";
    ACK_REQUEST "bth.ackreq" BTH_SOURCE:
        "AckReq, the highest bit of byte 8, asks the responder for an acknowledgement.";
    PSN "bth.psn" BTH_SOURCE:
        "Bytes 9 to 11 are the packet sequence number: 24 bits, big-endian.";
    RESERVED "bth.reserved" BTH_SOURCE:
        "Reserved bits are sent as zero.";
    VA "reth.va" RETH_SOURCE:
        "A RETH follows the BTH of an RDMA WRITE. Its first eight bytes are the remote virtual address, \
         big-endian.";
    RKEY "reth.rkey" RETH_SOURCE:
        "Bytes 8 to 11 of the RETH are the key of the remote memory region, big-endian.";
    DMA_LEN "reth.dmalen" RETH_SOURCE:
        "The last four bytes of the RETH are the length of the message in bytes, big-endian. The pad is not \
         part of the message.";
    PAYLOAD "payload" BTH_SOURCE:
        "The payload follows the last header, unchanged.";
    PAD "pad" BTH_SOURCE:
        "After the payload come as many zero bytes as PadCnt says.";
    ICRC "icrc" ICRC_SOURCE:
        "The last four bytes are the CRC-32 of eight bytes of ones and the IP, UDP and transport headers, \
         payload and pad, with ones for what may change on the way; least significant byte first.";
    LENGTH "length" ICRC_SOURCE:
        "Nothing follows the ICRC.";
    FORMAT "format" LAB:
        "The answer is one packet.";
}

/// The rule that a field follows.
pub(super) fn rule_of(field: &Field) -> &'static Rule {
    match (field.part, field.name) {
        (Part::Bth, "OpCode") => &OPCODE,
        (Part::Bth, "SE") => &SOLICITED,
        (Part::Bth, "MigReq") => &MIGRATED,
        (Part::Bth, "PadCnt") => &PAD_COUNT,
        (Part::Bth, "TVer") => &VERSION,
        (Part::Bth, "P_Key") => &PKEY,
        (Part::Bth, "FECN" | "BECN") => &CONGESTION,
        (Part::Bth, "DestQP") => &DEST_QP,
        (Part::Bth, "AckReq") => &ACK_REQUEST,
        (Part::Bth, "PSN") => &PSN,
        (Part::Reth, "VA") => &VA,
        (Part::Reth, "R_Key") => &RKEY,
        (Part::Reth, _) => &DMA_LEN,
        (Part::Payload, _) => &PAYLOAD,
        (Part::Pad, _) => &PAD,
        (Part::Icrc, _) => &ICRC,
        _ => &RESERVED,
    }
}
