//! What a packet says, for people.
