//! Topic names, topic filters and what matches what.

pub mod filter;
pub mod name;

pub use filter::TopicFilter;
pub use name::TopicName;
