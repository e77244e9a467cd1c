//! AWS, where guests come from: the names and addresses that mean nothing elsewhere.

/// Name servers of a VPC ("DNS attributes", Amazon VPC user guide, 2026).
pub const RESOLVERS: [&str; 2] = ["169.254.169.253", "fd00:ec2::253"];

/// The instance metadata service ("Instance metadata", EC2 user guide, 2026).
pub const METADATA: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];

/// The clock of the host ("Amazon Time Sync Service", EC2 user guide, 2026).
pub const CLOCK: [&str; 2] = ["169.254.169.123", "fd00:ec2::123"];

/// Drivers of EC2's network cards, as networkd and udev name them.
pub const NETWORK_DRIVERS: [&str; 5] = ["ena", "ixgbevf", "vif", "xen-netfront", "xen_netfront"];

/// What of AWS a text can name, by what it is; the first that fits counts. Each is a regular expression.
///
/// "Service endpoints and quotas", "Amazon Resource Names", AWS general reference; "EC2 instance hostname
/// types", EC2 user guide; "Understanding unique ID prefixes", IAM user guide; all 2026.
pub const NAMED: [(&str, &str); 16] = [
    ("database (RDS)", r"[a-z0-9.-]+\.rds\.amazonaws\.com(?:\.cn)?"),
    ("cache (ElastiCache)", r"[a-z0-9.-]+\.cache\.amazonaws\.com(?:\.cn)?"),
    ("queue (SQS)", r"(?:sqs\.[a-z0-9-]+|queue)\.amazonaws\.com(?:\.cn)?(?:/[0-9]{12}/[A-Za-z0-9_.-]+)?"),
    ("load balancer (ELB)", r"[a-z0-9.-]+\.elb\.(?:[a-z0-9-]+\.)?amazonaws\.com(?:\.cn)?"),
    ("file system (EFS or FSx)", r"fs-[0-9a-f]{8,17}\.(?:efs|fsx)\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?"),
    ("container registry (ECR)", r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?"),
    (
        "object storage (S3)",
        r"s3a?://[A-Za-z0-9._-]+|(?:[a-z0-9.-]+\.)?s3[.-](?:[a-z0-9-]+\.)*amazonaws\.com(?:\.cn)?",
    ),
    ("host name of EC2", r"ec2-[0-9]{1,3}(?:-[0-9]{1,3}){3}\.[a-z0-9.-]*amazonaws\.com(?:\.cn)?"),
    ("AWS endpoint", r"[a-z0-9.-]*\.?amazonaws\.com(?:\.cn)?"),
    ("CDN (CloudFront)", r"[a-z0-9]+\.cloudfront\.net"),
    ("application (Elastic Beanstalk)", r"[a-z0-9.-]+\.elasticbeanstalk\.com"),
    (
        "resource name (ARN)",
        r"arn:aws(?:-cn|-us-gov)?:[a-z0-9-]+:[a-z0-9-]*:(?:[0-9]{12}|aws)?:[A-Za-z0-9_./:*-]+",
    ),
    ("access key", r"(?:AKIA|ASIA)[0-9A-Z]{16}|(?i-u:aws_(?:access_key_id|secret_access_key|session_token))"),
    (
        "private host name of EC2",
        r"(?:[a-z0-9-]+\.)*(?:compute|ec2)\.internal|ip-[0-9]{1,3}(?:-[0-9]{1,3}){3}",
    ),
    ("metadata service", r"169\.254\.169\.254|169\.254\.170\.2|fd00:ec2::254"),
    (
        "name server or clock of a VPC",
        r"169\.254\.169\.(?:253|123)|fd00:ec2::(?:253|123)|amazon\.pool\.ntp\.org",
    ),
];
