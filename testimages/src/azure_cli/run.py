# Runs one az command against a stand-in for Azure Resource Manager: the command's own code, what it sends and how
# it waits for the end are az's; only who is logged in and where the service is are not.
#
#     run.py ENDPOINT SUBSCRIPTION TOKEN WORD..
import sys
import time

import azure.cli.core._profile as profile
from azure.cli.core import get_default_cli
from azure.cli.core.aaz._http_policy import AAZBearerTokenCredentialPolicy
from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.core.pipeline.policies import BearerTokenCredentialPolicy

endpoint, subscription, token = sys.argv[1:4]
ends = int(time.time()) + 3600


class Credential:
    def get_token(self, *scopes, **options):
        return AccessToken(token, ends)

    def get_token_info(self, *scopes, **options):
        return AccessTokenInfo(token, ends)

    def acquire_token(self, *scopes, **options):
        return {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}


def account(self, *names, **options):
    user = {"name": "test", "type": "user"}
    return {"id": subscription, "tenantId": "test", "environmentName": "AzureCloud", "state": "Enabled",
            "name": "test", "user": user}


profile.Profile.get_login_credentials = lambda self, *a, **k: (Credential(), subscription, "test")
profile.Profile.get_subscription_id = lambda self, *a, **k: subscription
profile.Profile.get_subscription = account
# A stand-in on this machine speaks plain HTTP.
for policy in BearerTokenCredentialPolicy, AAZBearerTokenCredentialPolicy:
    policy._enforce_https = staticmethod(lambda request: None)
cli = get_default_cli()
cli.cloud.endpoints.resource_manager = endpoint
sys.exit(cli.invoke(sys.argv[4:]))
