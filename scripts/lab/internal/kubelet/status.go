package kubelet

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// containerKind tells the three kinds of containers of a pod apart.
type containerKind int

const (
	mainContainer containerKind = iota
	initContainer
	sidecarContainer // an init container with restartPolicy Always
)

// observed is what a pod's status is computed from.
type observed struct {
	containers []containerStatus // in the pod's order, init containers first
	network    bool              // the pod has its network
	podIP      string
	hostIP     string
	started    metav1.Time // when the kubelet first saw the pod
	terminal   bool        // no container will run again
	now        metav1.Time
}

type containerStatus struct {
	kind containerKind
	corev1.ContainerStatus
}

// podStatus computes a pod's status with the reasons of a kubelet. Conditions that a kubelet does not own are kept.
func podStatus(pod *corev1.Pod, o observed) corev1.PodStatus {
	status := *pod.Status.DeepCopy()
	status.ObservedGeneration = pod.Generation
	status.HostIP, status.HostIPs = o.hostIP, []corev1.HostIP{{IP: o.hostIP}}
	if o.podIP != "" {
		status.PodIP, status.PodIPs = o.podIP, []corev1.PodIP{{IP: o.podIP}}
	}
	status.StartTime = &o.started
	status.InitContainerStatuses, status.ContainerStatuses = nil, nil
	for _, c := range o.containers {
		if c.kind == mainContainer {
			status.ContainerStatuses = append(status.ContainerStatuses, c.ContainerStatus)
		} else {
			status.InitContainerStatuses = append(status.InitContainerStatuses, c.ContainerStatus)
		}
	}
	status.Phase = podPhase(pod, o)
	ready := containersReady(o, status.Phase)
	podReady := ready
	if ready.Status == corev1.ConditionTrue {
		podReady = gates(pod, ready)
	}
	podReady.Type = corev1.PodReady
	network := corev1.PodCondition{Type: corev1.PodReadyToStartContainers, Status: condition(o.network && !o.terminal)}
	for _, c := range []corev1.PodCondition{network, initialized(o, status.Phase), podReady, ready, {Type: corev1.PodScheduled, Status: corev1.ConditionTrue}} {
		c.ObservedGeneration = pod.Generation
		setCondition(&status.Conditions, c, o.now)
	}
	return status
}

func condition(b bool) corev1.ConditionStatus {
	if b {
		return corev1.ConditionTrue
	}
	return corev1.ConditionFalse
}

func setCondition(conditions *[]corev1.PodCondition, c corev1.PodCondition, now metav1.Time) {
	c.LastTransitionTime = now
	for i, was := range *conditions {
		if was.Type == c.Type {
			if was.Status == c.Status {
				c.LastTransitionTime = was.LastTransitionTime
			}
			(*conditions)[i] = c
			return
		}
	}
	*conditions = append(*conditions, c)
}

func gates(pod *corev1.Pod, ready corev1.PodCondition) corev1.PodCondition {
	var messages []string
	for _, g := range pod.Spec.ReadinessGates {
		i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == g.ConditionType })
		switch {
		case i < 0:
			messages = append(messages, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", string(g.ConditionType)))
		case pod.Status.Conditions[i].Status != corev1.ConditionTrue:
			messages = append(messages, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v", string(g.ConditionType), pod.Status.Conditions[i].Status))
		}
	}
	if len(messages) > 0 {
		ready.Status, ready.Reason, ready.Message = corev1.ConditionFalse, "ReadinessGatesNotReady", strings.Join(messages, ", ")
	}
	return ready
}

func containersReady(o observed, phase corev1.PodPhase) corev1.PodCondition {
	c := corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionFalse}
	switch phase {
	case corev1.PodSucceeded:
		c.Reason = "PodCompleted"
		return c
	case corev1.PodFailed:
		c.Reason = "PodFailed"
		return c
	}
	var unready []string
	for _, s := range o.containers {
		if s.kind != initContainer && !s.Ready {
			unready = append(unready, s.Name)
		}
	}
	if len(unready) > 0 {
		c.Reason, c.Message = "ContainersNotReady", fmt.Sprintf("containers with unready status: %s", unready)
		return c
	}
	c.Status = corev1.ConditionTrue
	return c
}

func isInitialized(o observed) (incomplete []string) {
	for _, s := range o.containers {
		switch s.kind {
		case initContainer:
			if !s.Ready {
				incomplete = append(incomplete, s.Name)
			}
		case sidecarContainer:
			if s.Started == nil || !*s.Started {
				incomplete = append(incomplete, s.Name)
			}
		}
	}
	return incomplete
}

func initialized(o observed, phase corev1.PodPhase) corev1.PodCondition {
	c := corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue}
	if phase == corev1.PodSucceeded {
		c.Reason = "PodCompleted"
		return c
	}
	// Once a main container has run, the pod has been initialized, whatever its sidecars do now.
	for _, s := range o.containers {
		if s.kind == mainContainer && (s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil) {
			return c
		}
	}
	if incomplete := isInitialized(o); len(incomplete) > 0 {
		c.Status, c.Reason, c.Message = corev1.ConditionFalse, "ContainersNotInitialized", fmt.Sprintf("containers with incomplete status: %s", incomplete)
	}
	return c
}

// podPhase follows a kubelet's rules: pending until every main container has started once, running until none will run
// again, and then by how the main containers ended.
func podPhase(pod *corev1.Pod, o observed) corev1.PodPhase {
	if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		return pod.Status.Phase
	}
	waiting, failed := false, false
	for _, s := range o.containers {
		ended := s.State.Terminated
		if ended == nil && s.State.Running == nil {
			ended = s.LastTerminationState.Terminated
		}
		if s.kind == mainContainer {
			waiting = waiting || s.State.Running == nil && ended == nil
			failed = failed || ended == nil || ended.ExitCode != 0
		}
	}
	switch {
	case o.terminal && failed:
		return corev1.PodFailed
	case o.terminal:
		return corev1.PodSucceeded
	case waiting:
		return corev1.PodPending
	}
	return corev1.PodRunning
}
