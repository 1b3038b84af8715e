//! txlb: a TCP load balancer.
#![forbid(unsafe_code)]

pub mod balance;
pub mod config;
