package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The APIs of access control, as a broker answers that has none: nobody is asked
// who they are.

// DescribeACLs, CreateACLs, DeleteACLs, v1 to v3: SECURITY_DISABLED.
func describeACLs(*call, *kmsg.DescribeACLsRequest) (*kmsg.DescribeACLsResponse, error) {
	resp := kmsg.NewPtrDescribeACLsResponse()
	resp.ErrorCode, resp.ErrorMessage = kerr.SecurityDisabled.Code, kmsg.StringPtr("No Authorizer is configured on the broker")
	return resp, nil
}

func createACLs(_ *call, req *kmsg.CreateACLsRequest) (*kmsg.CreateACLsResponse, error) {
	resp := kmsg.NewPtrCreateACLsResponse()
	for range req.Creations {
		out := kmsg.NewCreateACLsResponseResult()
		out.ErrorCode, out.ErrorMessage = kerr.SecurityDisabled.Code, kmsg.StringPtr("No Authorizer is configured.")
		resp.Results = append(resp.Results, out)
	}
	return resp, nil
}

func deleteACLs(_ *call, req *kmsg.DeleteACLsRequest) (*kmsg.DeleteACLsResponse, error) {
	resp := kmsg.NewPtrDeleteACLsResponse()
	for range req.Filters {
		out := kmsg.NewDeleteACLsResponseResult()
		out.ErrorCode, out.ErrorMessage = kerr.SecurityDisabled.Code, kmsg.StringPtr("No Authorizer is configured.")
		resp.Results = append(resp.Results, out)
	}
	return resp, nil
}

// SaslHandshake, v0 to v1, and SaslAuthenticate, v0 to v2: ILLEGAL_SASL_STATE, and
// no mechanism to choose.
func saslHandshake(*call, *kmsg.SASLHandshakeRequest) (*kmsg.SASLHandshakeResponse, error) {
	resp := kmsg.NewPtrSASLHandshakeResponse()
	resp.ErrorCode, resp.SupportedMechanisms = kerr.IllegalSaslState.Code, []string{}
	return resp, nil
}

func saslAuthenticate(*call, *kmsg.SASLAuthenticateRequest) (*kmsg.SASLAuthenticateResponse, error) {
	resp := kmsg.NewPtrSASLAuthenticateResponse()
	resp.ErrorCode = kerr.IllegalSaslState.Code
	resp.ErrorMessage = kmsg.StringPtr("SaslAuthenticate request received after successful authentication") // Kafka's words
	return resp, nil
}

// DescribeUserScramCredentials, v0: no user has any. One that is asked for is
// RESOURCE_NOT_FOUND, or, asked for twice, DUPLICATE_RESOURCE.
func describeUserScram(_ *call, req *kmsg.DescribeUserSCRAMCredentialsRequest) (*kmsg.DescribeUserSCRAMCredentialsResponse, error) {
	resp := kmsg.NewPtrDescribeUserSCRAMCredentialsResponse()
	resp.ErrorMessage = kmsg.StringPtr("") // not null: so does Kafka
	at := map[string]int{}
	for _, u := range req.Users {
		f := faultf(kerr.ResourceNotFound, "Attempt to describe a user credential that does not exist: %s", u.Name)
		i, twice := at[u.Name]
		if twice {
			f = faultf(kerr.DuplicateResource, "Cannot describe SCRAM credentials for the same user twice in a single request: %s", u.Name)
		} else {
			i = len(resp.Results)
			at[u.Name] = i
			out := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
			out.User = u.Name
			resp.Results = append(resp.Results, out)
		}
		resp.Results[i].ErrorCode, resp.Results[i].ErrorMessage = f.code, f.text()
	}
	return resp, nil
}

// CreateDelegationToken and DescribeDelegationToken, v1 to v3,
// RenewDelegationToken and ExpireDelegationToken, v1 to v2: an anonymous client
// gets none, DELEGATION_TOKEN_REQUEST_NOT_ALLOWED.
func createDelegationToken(*call, *kmsg.CreateDelegationTokenRequest) (*kmsg.CreateDelegationTokenResponse, error) {
	resp := kmsg.NewPtrCreateDelegationTokenResponse()
	resp.ErrorCode = kerr.DelegationTokenRequestNotAllowed.Code
	resp.PrincipalType, resp.PrincipalName = "User", anonymous
	resp.TokenRequesterPrincipalType, resp.TokenRequesterPrincipalName = "User", anonymous
	resp.IssueTimestamp, resp.ExpiryTimestamp, resp.MaxTimestamp = -1, -1, -1
	resp.HMAC = []byte{}
	return resp, nil
}

func renewDelegationToken(*call, *kmsg.RenewDelegationTokenRequest) (*kmsg.RenewDelegationTokenResponse, error) {
	resp := kmsg.NewPtrRenewDelegationTokenResponse()
	resp.ErrorCode, resp.ExpiryTimestamp = kerr.DelegationTokenRequestNotAllowed.Code, -1
	return resp, nil
}

func expireDelegationToken(*call, *kmsg.ExpireDelegationTokenRequest) (*kmsg.ExpireDelegationTokenResponse, error) {
	resp := kmsg.NewPtrExpireDelegationTokenResponse()
	resp.ErrorCode, resp.ExpiryTimestamp = kerr.DelegationTokenRequestNotAllowed.Code, -1
	return resp, nil
}

func describeDelegationToken(*call, *kmsg.DescribeDelegationTokenRequest) (*kmsg.DescribeDelegationTokenResponse, error) {
	resp := kmsg.NewPtrDescribeDelegationTokenResponse()
	resp.ErrorCode = kerr.DelegationTokenRequestNotAllowed.Code
	return resp, nil
}
