//! The rules of a go-back-N requester.

use crate::failure::rules;

rules! {
    PSN_RANGE "psn.24-bits" "IBTA volume 1, 9.2.7":
        "A PSN has 24 bits: after 0xffffff comes 0.";
    NOTHING_POSTED "send.posted" "this lab":
        "Only packets of messages that were posted are sent.";
    IN_ORDER "send.order" "IBTA volume 1, 9.7.3.1":
        "Packets are sent in the order of their PSNs, one after the other, without gaps.";
    WINDOW "send.window" "this lab":
        "At most as many packets as the window says are on their way without acknowledgement.";
    KEEP_GOING "send.progress" "this lab":
        "While something is posted and the window has room, the next packet is sent.";
    CUMULATIVE "ack.cumulative" "IBTA volume 1, 9.7.5.1.2":
        "An ACK says that everything up to and including its PSN has arrived; messages that are covered to \
         their last packet are completed.";
    STALE "ack.stale" "IBTA volume 1, 9.7.5.1.2":
        "An ACK or NAK of a PSN that is acknowledged already, or was never sent, changes nothing.";
    NAK_ACKS "nak.acknowledges" "IBTA volume 1, 9.7.5.1.2":
        "A NAK acknowledges everything before its PSN, and not its PSN.";
    RESTART_NAK "nak.restart" "IBTA volume 1, 9.7.5.1.2":
        "After a NAK \"PSN sequence error\" the requester sends again from the NAK's PSN on.";
    RESTART_TIMEOUT "timeout.restart" "IBTA volume 1, 9.7.6.1.3":
        "After a timeout the requester sends again from the oldest packet without acknowledgement on.";
}
