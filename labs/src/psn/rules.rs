//! The rules of PSNs.

use crate::failure::rules;

rules! {
    WRAPS "psn.wraps" "IBTA volume 1, 9.2.7":
        "A PSN has 24 bits: after 0xffffff comes 0.";
    HALF_CIRCLE "psn.half-circle" "IBTA volume 1, 9.7.2":
        "A PSN is after another if it is reached from there in fewer than 2^23 steps forwards, else it is before.";
    EXPECTED "responder.expected" "IBTA volume 1, 9.7.4.1.1":
        "The expected packet is carried out, and acknowledged with its own PSN if that is asked for.";
    DUPLICATE "responder.duplicate" "IBTA volume 1, 9.7.5.1.3":
        "A packet before the expected one was carried out already and is not again; if it asks for an \
         acknowledgement, it gets one for the newest packet that was carried out.";
    GAP "responder.gap" "IBTA volume 1, 9.7.5.2.8":
        "A packet after the expected one is not carried out; the requester is told the expected PSN in a NAK.";
    ONE_NAK "responder.one-nak" "IBTA volume 1, 9.7.5.2.8":
        "A gap is reported once; further packets behind it are dropped until the expected one has come.";
}
