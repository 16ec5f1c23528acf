package core

import "github.com/twmb/franz-go/pkg/kmsg"

// ConsumerGroupDescribe, v0 and v1: groups of the type consumer (KIP-848) with
// their members, what these own and what they are to own. v1 tells which protocol
// a member speaks. Unknown, or a classic group: GROUP_ID_NOT_FOUND, which is how
// tools find out that they have to ask DescribeGroups.
func consumerGroupDescribe(c *groupCall, req *kmsg.ConsumerGroupDescribeRequest) {
	c.coordinateThen(req, func(resp kmsg.Response) {
		if req.IncludeAuthorizedOperations {
			groups := resp.(*kmsg.ConsumerGroupDescribeResponse).Groups
			for i := range groups {
				if groups[i].ErrorCode == 0 {
					groups[i].AuthorizedOperations = groupOperations
				}
			}
		}
		c.answer(resp)
	})
}
