//! Topic names, topic filters and what matches what.

pub mod filter;
mod level_tree;
pub mod name;
pub mod retained;
pub mod trie;

pub use filter::TopicFilter;
pub use name::TopicName;
pub use retained::RetainedStore;
pub use trie::SubscriptionTrie;
