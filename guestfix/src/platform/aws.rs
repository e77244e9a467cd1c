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

/// What AWS, and those before it, put into Windows guests.
pub mod windows {
    /// Filters and drivers of Xen, of EC2's NVMe and of its network cards, by the names of their services
    /// ("Paravirtual drivers for Windows instances", "AWS NVMe drivers", EC2 user guide; service listings of
    /// EC2 servers; 2026).
    pub const DRIVERS: [&str; 25] = [
        "xenbus",
        "xenfilt",
        "xeniface",
        "xennet",
        "xenvbd",
        "xenvif",
        "xen",
        "xencrsh",
        "xenbus_monitor",
        "xendisk",
        "xenvkbd",
        "xenhid",
        "xencons",
        "xenevtchn",
        "xennet6",
        "xenpci",
        "xenhide",
        "xenlite",
        "scsifilt",
        "rhelscsi",
        "rhelnet",
        "rhelfltr",
        "AWSNVMe",
        "ena",
        "EC2WinUtilDriver",
    ];

    /// Files by which such a driver is known whatever its service is called.
    pub const DRIVER_FILES: [&str; 3] = ["ena.sys", "awsnvme.sys", "ec2winutildriver.sys"];

    /// Drivers that Microsoft does not support on Azure ("Migrate AWS VMs", Site Recovery, 2026).
    pub const UNSUPPORTED: [&str; 3] = ["rhelscsi", "rhelnet", "rhelfltr"];

    /// Programs that talk to AWS ("EC2Config", "EC2Launch", Systems Manager and CloudWatch user guides, 2026).
    pub const AGENTS: [&str; 9] = [
        "Ec2Config",
        "Amazon EC2Launch",
        "AWSLiteAgent",
        "AmazonSSMAgent",
        "AmazonCloudWatchAgent",
        "cfn-hup",
        "EC2HibernateAgent",
        "XenGuestAgent",
        "xensvc",
    ];

    /// Where EC2's launch agents send what is not in the VPC ("Windows instance routes", EC2 user guide, 2026).
    pub const ROUTES: [&str; 6] = [
        "169.254.169.254",
        "169.254.169.250",
        "169.254.169.251",
        "169.254.169.249",
        "169.254.169.253",
        "169.254.169.123",
    ];

    /// Its activation servers ("Activate Windows", EC2 user guide, 2026).
    pub const ACTIVATION: [&str; 2] = ["169.254.169.250", "169.254.169.251"];

    /// Ends of names that only AWS's servers know.
    pub const SUFFIXES: [&str; 3] = ["ec2-utilities.amazonaws.com", "compute.internal", "ec2.internal"];
}
