//! txlb: a TCP load balancer.
#![forbid(unsafe_code)]

pub mod balance;
pub mod calendar;
pub mod config;
pub mod director;
pub mod os;
pub mod relay;
