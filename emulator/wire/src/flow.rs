//! UDP source ports, by which routers tell flows apart.
