package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// UnregisterBroker, v0: another broker's id is BROKER_ID_NOT_REGISTERED. This
// one's is INVALID_REQUEST, where Kafka forgets a broker that serves, until it is
// started again.
func unregisterBroker(c *call, req *kmsg.UnregisterBrokerRequest) (*kmsg.UnregisterBrokerResponse, error) {
	f := faultf(kerr.BrokerIDNotRegistered, "Broker ID %d is not currently registered", req.BrokerID)
	if req.BrokerID == c.node {
		f = faultf(kerr.InvalidRequest, "Broker ID %d is the only one, and serves", req.BrokerID)
	}
	resp := kmsg.NewPtrUnregisterBrokerResponse()
	resp.ErrorCode, resp.ErrorMessage = f.code, f.text()
	return resp, nil
}
