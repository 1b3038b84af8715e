//! txlb: a TCP load balancer, as a library.
//!
//! The program of the same name is a thin shell around it: it reads a
//! [`config`], hands it to a [`director`], and passes signals on. A program
//! that balances for itself does the same:
//!
//! ```
//! use std::sync::Arc;
//! use txlb::director::{Director, Options};
//!
//! let text = br#"
//!     <config>
//!       <service name="web">
//!         <listen ip="127.0.0.1:0"/>
//!         <group name="main" scheduler="leastc" enable="true">
//!           <host name="one" ip="127.0.0.1:8081"/>
//!           <host name="two" ip="127.0.0.1:8082"/>
//!         </group>
//!       </service>
//!     </config>"#;
//! let reading = txlb::config::read(text)?;
//! let options = Options { workers: 2, schedulers: Arc::default(), on_event: Arc::new(|_| {}) };
//! let director = Director::start(reading.config, &options)?;
//! let status = director.status();
//! assert_eq!(status.services[0].addresses.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! No signal is caught and no log is set up unless the program does so; several
//! balancers in one process do not know of each other. What is public here is
//! not yet settled: it may change with any version before 2.0.
#![forbid(unsafe_code)]

pub mod admin;
pub mod balance;
pub mod calendar;
pub mod config;
pub mod director;
pub mod json;
pub mod os;
pub mod relay;
