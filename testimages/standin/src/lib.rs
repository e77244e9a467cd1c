//! A stand-in for the EBS direct APIs.
