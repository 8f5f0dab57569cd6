mod auth;
mod body;
mod query;
mod words;
